import copy
import logging
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData, ImplicitModificationWarning
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Batch, Data

from stofm_pyg.data.keys import Keys
from stofm_pyg.data.slices.labels import class_names, prediction_column
from stofm_pyg.data.slices.names import name_hashes
from stofm_pyg.nn.node_type import NodeType

logger = logging.getLogger(__name__)


def graph_matrices(
    slices: Sequence[Data], num_cells: int
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, str]:
    r"""Returns the edges between cells of slices as two matrices over the rows of their AnnData.

    Cells at the same position keep their edge: its distance is a stored zero.

    Args:
        slices (sequence of Data): Slices with :obj:`cell_id`, :obj:`edge_index` and
            :obj:`edge_attr`.
        num_cells (int): Number :math:`N` of rows of the AnnData.

    Returns:
        Connectivities (1 for each edge) and distances, both :math:`(N, N)` float64, and the unit of
        the distances.

    Raises:
        ValueError: Slices have no graph, or distances in different units.
    """
    units = {data.get("unit") or "unknown" for data in slices}
    if len(units) > 1:
        raise ValueError(
            f"The slices have distances in different units: {sorted(units)}. Convert them with the "
            f"same 'unit='."
        )
    row, col, distance = [], [], []
    for data in slices:
        if data.get("edge_index") is None or data.get("edge_attr") is None:
            raise ValueError(
                "A slice has no 'edge_index' and 'edge_attr' to write as a graph. Convert it with "
                "'radius=', or apply 'SpatialRadiusGraph'."
            )
        ends = data.cell_id.cpu().numpy()[data.edge_index.cpu().numpy()]
        between_cells = (ends >= 0).all(axis=0)
        row.append(ends[0, between_cells])
        col.append(ends[1, between_cells])
        distance.append(data.edge_attr.view(-1).cpu().numpy()[between_cells])

    # An edge that is there several times would count, and its distance add up, as often.
    ends, first = np.unique([np.concatenate(row), np.concatenate(col)], axis=1, return_index=True)
    distance = np.concatenate(distance).astype(np.float64)[first]
    shape = (num_cells, num_cells)
    connectivities = sparse.csr_matrix((np.ones_like(distance), tuple(ends)), shape=shape)
    return connectivities, sparse.csr_matrix((distance, tuple(ends)), shape=shape), units.pop()


def to_anndata(
    data: Data | Sequence[Data],
    adata: AnnData,
    *,
    embedding: Tensor | Sequence[Tensor] | None = None,
    prediction: Tensor | Sequence[Tensor] | None = None,
    graph: bool = False,
    label: str | None = None,
    embedding_key: str = Keys.EMBEDDING,
    prediction_key: str = Keys.PREDICTION,
    graph_key: str = Keys.SPATIAL,
) -> AnnData:
    r"""Writes results for slices back into the :class:`~anndata.AnnData` they come from, each cell
    in its row (:obj:`data.cell_id`) or, where the AnnData has other cells there by now, in that of its
    name (:obj:`data.cell_hash`).

    Only what is asked for changes, in place; a key that exists is replaced as a whole, so give all
    slices at once. A view becomes an AnnData of its own, as with any write to a view; a backed one
    is changed in memory, and its file is not.

    Args:
        data (Data or list of Data): One slice, or some of the slices of :obj:`adata`.
        adata (AnnData): The AnnData that :obj:`data` was made from.
        embedding (Tensor or list of Tensor, optional): Embedding of one slice, or one per slice. It
            goes into :obj:`adata.obsm`; cells of other slices get NaN. (default: :obj:`None`)
        prediction (Tensor or list of Tensor, optional): Class numbers of one slice, or one tensor
            per slice. They go into :obj:`adata.obs` as a categorical column; -1 and cells of other
            slices become NaN. (default: :obj:`None`)
        graph (bool, optional): If set to :obj:`True`, writes the edges between cells and their
            distances to :obj:`adata.obsp` under squidpy's names, and the unit of the distances to
            :obj:`adata.uns`. (default: :obj:`False`)
        label (str, optional): The label that :obj:`prediction` predicts: :obj:`data.classes[label]`
            names its classes. Not needed where there is only one. (default: :obj:`None`)
        embedding_key (str, optional): (default: :obj:`"X_stofm"`)
        prediction_key (str, optional): (default: :obj:`"stofm_prediction"`)
        graph_key (str, optional): :obj:`"spatial"` stands for :obj:`"spatial_connectivities"`,
            :obj:`"spatial_distances"` and :obj:`"spatial_neighbors"`. (default: :obj:`"spatial"`)

    Shapes:
        - **embedding:** :math:`(N, C)` for the :math:`N` cells of a slice, or for all its nodes
          (rows of virtual cells are left out)
        - **prediction:** :math:`(N)`, or for all nodes

    Returns:
        The AnnData that was given.

    Raises:
        TypeError: :obj:`adata` is no AnnData, or the slices are a batch.
        ValueError: The slices are not of this AnnData, the values do not fit to them or carry names of
            their own, or the AnnData is a view of a backed one. Nothing is changed then.
    """
    if not isinstance(adata, AnnData):
        raise TypeError(
            f"Expected an AnnData to write to, got {type(adata).__name__}. Open a file with "
            f"'anndata.read_h5ad' and save the result with 'adata.write_h5ad'."
        )
    single = isinstance(data, Data)
    if isinstance(data, Batch):
        raise TypeError("Expected slices, got a Batch. Pass 'batch.to_data_list()'.")
    slices = [data] if single else list(data)
    _check_ids(slices)
    slices = _aligned(slices, adata)
    rows = _cell_rows(slices, adata)

    # Everything is made before anything is written: an error leaves 'adata' as it was.
    obsm, obs, obsp, uns = {}, {}, {}, {}
    if embedding is not None:
        values = _per_cell(slices, embedding, "embedding", single)
        obsm[embedding_key] = _embedding_array(values, rows, adata.n_obs)
    if prediction is not None:
        values = _per_cell(slices, prediction, "prediction", single)
        names = class_names(slices, label)
        obs[prediction_key] = prediction_column(values, rows, adata.n_obs, names)
    if graph:
        connectivities, distances, unit = graph_matrices(slices, adata.n_obs)
        obsp[f"{graph_key}_connectivities"] = connectivities
        obsp[f"{graph_key}_distances"] = distances
        uns[f"{graph_key}_neighbors"] = {
            "connectivities_key": f"{graph_key}_connectivities",
            "distances_key": f"{graph_key}_distances",
            "params": {"coord_type": "generic", "transform": "none", "unit": unit},
        }

    if adata.is_view and adata.isbacked:
        raise ValueError(
            f"Cannot write to a view of the backed file '{adata.filename}'. Call "
            f"'adata = adata.to_memory()' first."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplicitModificationWarning)
        for key, value in obsm.items():
            adata.obsm[key] = value
        for key, value in obs.items():
            adata.obs[key] = value
        for key, value in obsp.items():
            adata.obsp[key] = value
        for key, value in uns.items():
            adata.uns[key] = value
    return adata


def _check_ids(slices: list[Data]):
    for data in slices:
        cell_id = data.get("cell_id")
        if cell_id is None or cell_id.dtype not in (torch.int64, torch.int32):
            got = "none" if cell_id is None else f"{cell_id.dtype}"
            raise ValueError(
                f"A slice needs 'cell_id', the row of each cell in the AnnData, as int64 (got {got}). "
                f"Set 'data.cell_id = torch.arange(data.num_nodes)' if its cells are all, in order."
            )


def _aligned(slices: list[Data], adata: AnnData) -> list[Data]:
    # Slices with the rows that their cells have by now.
    if all(data.get("cell_hash") is None for data in slices):
        return slices
    hashes = name_hashes(adata.obs_names)
    index, out, moved = None, [], 0
    for data in slices:
        known = data.get("cell_hash")
        if known is None:
            out.append(data)
            continue
        is_cell = _is_cell(data).cpu()
        known, rows = known.cpu()[is_cell].numpy(), data.cell_id.cpu()[is_cell].numpy()
        inside = (rows >= 0) & (rows < adata.n_obs)
        differ = ~inside
        differ[inside] = hashes[rows[inside]] != known[inside]
        if differ.any():
            index = pd.Index(hashes) if index is None else index
            found = index.get_indexer(known) if index.is_unique else np.full(len(known), -1)
            if (found < 0).any() and not inside.all():
                return slices  # What is said of them then is said of all slices.
            if (found < 0).any():
                raise ValueError(_other_cells(data, adata, rows[differ], found, index.is_unique))
            moved += int(differ.sum())
            data = copy.copy(data)
            data.cell_id = data.cell_id.clone()
            data.cell_id[is_cell.to(data.cell_id.device)] = torch.from_numpy(found).to(data.cell_id)
        out.append(data)
    if moved:
        logger.info("The AnnData has another order by now: %d cells are found by their names", moved)
    return out


def _other_cells(
    data: Data, adata: AnnData, differ: np.ndarray, found: np.ndarray, unique: bool
) -> str:
    name = f"Slice {data.name!r}" if data.get("name") else "A slice"
    row = int(differ[0])
    reason = f"{int((found < 0).sum())} of its {len(found)} cells are not in it by name"
    if not unique:
        reason = "its names are not unique, so that they tell no cells"
    return (
        f"{name} is not of this AnnData, or that has changed: row {row}, one of {len(differ)} that "
        f"differ, is {adata.obs_names[row]!r} by now, and {reason}. Pass the AnnData that the slices "
        f"were made from."
    )


def _cell_rows(slices: list[Data], adata: AnnData) -> np.ndarray:
    if not slices:
        raise ValueError("There is no slice to write: 'data' is an empty list.")
    rows = np.concatenate([data.cell_id[_is_cell(data)].cpu().numpy() for data in slices])
    outside = (rows < 0) | (rows >= adata.n_obs)
    if outside.any():
        raise ValueError(
            f"A cell has 'cell_id' {rows[outside][0]}, but the AnnData has {adata.n_obs} cells. "
            f"Pass the AnnData that the slices were made from."
        )
    unique, count = np.unique(rows, return_counts=True)
    if (count > 1).any():
        raise ValueError(
            f"Cell {unique[count > 1][0]} is in the slices {int(count.max())} times. Give every "
            f"slice once, and all from the same AnnData."
        )
    return rows


def _is_cell(data: Data) -> Tensor:
    if data.get("node_type") is None:
        return torch.ones(data.num_nodes, dtype=torch.bool)
    return data.node_type == NodeType.CELL


def _per_cell(
    slices: list[Data], values: Tensor | Sequence[Tensor], name: str, single: bool
) -> list[Tensor]:
    values = [values] if single and not isinstance(values, (list, tuple)) else values
    if not isinstance(values, (list, tuple)) or len(values) != len(slices):
        got = len(values) if isinstance(values, (list, tuple)) else f"one {type(values).__name__}"
        raise ValueError(
            f"Expected a list of {len(slices)} tensors as '{name}', one per slice, got {got}."
        )
    out = []
    for data, value in zip(slices, values, strict=True):
        if isinstance(value, (pd.DataFrame, pd.Series)):
            raise ValueError(
                f"'{name}' is a {type(value).__name__}, with names of its own, and is written by the "
                f"order of the slice's cells. Pass '.to_numpy()' of its rows in that order."
            )
        value = torch.as_tensor(value).detach().cpu()
        is_cell = _is_cell(data).cpu()
        num_cells = int(is_cell.sum())
        size = value.size(0) if value.dim() > 0 else 0
        if size not in (num_cells, data.num_nodes):
            raise ValueError(
                f"'{name}' has shape {list(value.shape)} for a slice of {num_cells} cells and "
                f"{data.num_nodes} nodes. Give one row per cell or one per node."
            )
        out.append(value[is_cell] if size == data.num_nodes else value)
    return out


def _embedding_array(values: list[Tensor], rows: np.ndarray, num_cells: int) -> np.ndarray:
    shapes = {tuple(value.shape[1:]) for value in values}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise ValueError(
            f"'embedding' must have shape [N, C] with one C for all slices, got "
            f"{[list(value.shape) for value in values]}."
        )
    out = np.full((num_cells, values[0].size(1)), np.nan, dtype=np.float32)
    out[rows] = torch.cat([value.float() for value in values]).numpy()
    return out
