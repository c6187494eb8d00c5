import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg._threads import one_thread
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.slices._check_unit import check_unit
from stofm_pyg.data.slices.cell_order import name_order, permute_nodes
from stofm_pyg.data.slices.features import get_features
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.names import name_hashes
from stofm_pyg.data.slices.positions import check_spread, get_positions
from stofm_pyg.data.slices.rows import check_joined, slice_rows
from stofm_pyg.data.slices.settings import SliceSettings
from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.transforms import AddVirtualCells, NormalizePosition, SpatialRadiusGraph

logger = logging.getLogger(__name__)

# What is ordinary: so many neighbours on average, and few cells without any.
FEW_NEIGHBORS, MANY_NEIGHBORS = 3, 1000
MANY_ISOLATED = 0.1


def from_anndata(
    adata: AnnData | str | os.PathLike,
    settings: SliceSettings | None = None,
    *,
    features: str | np.ndarray | pd.DataFrame | Tensor = "pca",
    labels: str | Sequence[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
    **changes,
) -> Data:
    r"""Converts an :class:`~anndata.AnnData` of one slice to a
    :class:`~torch_geometric.data.Data` (see :meth:`slices_from_anndata` for several slices; if the
    column of :obj:`settings.slice_key` tells several apart, a warning says that they become one).

    The AnnData is not changed, its cells keep their order, and its counts stay sparse. For
    :math:`N` cells and :math:`V` virtual cells, which follow the cells, the slice holds:

    * :obj:`x` :math:`(N + V, F)` float32: features; those of a virtual cell are its cells' mean
    * :obj:`pos` :math:`(N + V, 2)` float32: positions, in the unit that :obj:`settings` names
    * :obj:`node_type` :math:`(N + V)` uint8: a :class:`~stofm_pyg.nn.node_type.NodeType`
    * :obj:`cell_id` :math:`(N + V)` int64: the row in :obj:`adata`, -1 for virtual cells
    * :obj:`cell_hash` :math:`(N + V)` int64: a hash of the cell's name, -1 for virtual cells
    * :obj:`edge_index` :math:`(2, E)` int64 and :obj:`edge_attr` :math:`(E, 1)` float32: the radius
      graph of the cells and the distance along each edge
    * :obj:`cluster` :math:`(N + V)` int64: the cluster of each cell (with virtual cells only)
    * one key :math:`(N + V)` int64 per label, -1 where unknown; :obj:`classes[label]` are the names
    * :obj:`settings`, the settings as a line of JSON, :obj:`unit` and :obj:`name`

    Args:
        adata (AnnData or str or PathLike): Cells by genes (CSR, CSC or dense; in memory, a view, backed,
            or lazy), or a file or folder of any format that :meth:`~stofm_pyg.data.read` knows.
        settings (SliceSettings, optional): How the slice is made. (default: :obj:`None`)
        features (str or np.ndarray or Tensor, optional): :obj:`"pca"` for principal components of
            the counts, a key in :obj:`adata.obsm`, or features :math:`(N, F)`.
            (default: :obj:`"pca"`)
        labels (str or sequence of str, optional): Columns of :obj:`adata.obs` to take along as
            labels. (default: :obj:`()`)
        classes (dict, optional): Names of the classes of a label in order, to give another
            slice the same class numbers. If :obj:`None`, they are the categories of a categorical
            column (used or not) or the sorted values of any other. (default: :obj:`None`)
        **changes (optional): Values of :class:`SliceSettings` by name, *e.g.*, :obj:`radius=5.0`.

    Raises:
        FileNotFoundError: The file is not there.
        TypeError: There is no such setting.
        ValueError: The file is damaged, a key does not exist, positions or counts are none, or the
            slice has not two cells at different positions.

    Example:
        >>> data = from_anndata("slice.h5ad", labels="domain")
        >>> data.x.shape, data.classes["domain"]
        (torch.Size([1062, 50]), ['L1', 'L2/3', 'L5', 'L6'])
    """
    settings = (settings or SliceSettings()).replace(**changes)
    joined = settings.slice_key
    settings = settings.replace(slice_key=None)
    (data,) = _slices(adata, settings, features, labels, classes, joined)
    return data


def slices_from_anndata(
    adata: AnnData | str | os.PathLike,
    settings: SliceSettings | None = None,
    *,
    features: str | np.ndarray | pd.DataFrame | Tensor = "pca",
    labels: str | Sequence[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
    **changes,
) -> list[Data]:
    r"""Converts an :class:`~anndata.AnnData` of several slices to one
    :class:`~torch_geometric.data.Data` per slice.

    Principal components are found over all slices together and then centred in each; classes have
    the same numbers in all slices; no edge crosses slices. :obj:`data.cell_id` is the row in
    :obj:`adata`, so that :meth:`to_anndata` finds its way back, and :obj:`data.name` the name of
    the slice.

    The arguments, what a slice holds, and what is raised are those of :meth:`from_anndata`;
    :obj:`settings.slice_key` tells slices apart.

    Example:
        >>> slices = slices_from_anndata("brain.h5ad", slice_key="section", labels="layer")
        >>> slices[0].classes["layer"]
        ['L1', 'L2/3', 'L5', 'L6']
    """
    settings = (settings or SliceSettings()).replace(**changes)
    return _slices(adata, settings, features, labels, classes)


def _slices(
    adata: AnnData | str | os.PathLike,
    settings: SliceSettings,
    features: str | np.ndarray | pd.DataFrame | Tensor,
    labels: str | Sequence[str],
    classes: Mapping[str, Sequence[str]] | None,
    joined: str | None = None,
) -> list[Data]:
    with opened_anndata(adata) as adata:
        cells = adata.obs_names
        groups = slice_rows(adata, settings.slice_key, settings.spatial_key)
        pos = get_positions(adata, settings.spatial_key, [rows for _, rows in groups])
        check_unit(adata.uns.get(Keys.UNIT), settings)
        if settings.slice_key is None:
            check_joined(adata, slice_key=joined)
        codes, names = encode_labels(adata.obs, labels, classes)
        batch = np.empty(adata.n_obs, dtype=np.int64)
        for number, (name, rows) in enumerate(groups):
            check_spread(pos[rows], name)  # Before the work on its counts.
            batch[rows] = number
        x = get_features(
            adata,
            features,
            layer=settings.layer,
            num_features=settings.num_features,
            batch=batch,
            seed=settings.seed,
        )
    return [
        build_data(
            x[rows],
            pos[rows],
            rows,
            settings,
            {label: values[rows] for label, values in codes.items()},
            names,
            name,
            cells[rows],
        )
        for name, rows in groups
    ]


def build_data(
    x: np.ndarray,
    pos: np.ndarray,
    cell_id: np.ndarray,
    settings: SliceSettings,
    labels: Mapping[str, np.ndarray] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    name: str = "",
    cells: pd.Index | None = None,
) -> Data:
    r"""Makes the :class:`~torch_geometric.data.Data` of one slice from arrays, one row per cell.

    Positions stay in double precision until the graph and the clusters are there, so that turning
    the slice does not move a pair of cells across the radius; one thread makes them, so that their
    number changes nothing, and cells with names are taken in :meth:`name_order`, so that their order
    changes nothing.

    Args:
        x (np.ndarray): Features :math:`(N, F)`.
        pos (np.ndarray): Positions :math:`(N, 2)`.
        cell_id (np.ndarray): The row of each cell in its AnnData :math:`(N)`.
        settings (SliceSettings): How the slice is made.
        labels (dict, optional): Class numbers :math:`(N)` by name, -1 where unknown.
            (default: :obj:`None`)
        classes (dict, optional): Names of the classes of each label. (default: :obj:`None`)
        name (str, optional): The name of the slice. (default: :obj:`""`)
        cells (pd.Index, optional): The names of the cells, by which results find their way back into an
            AnnData in another order. (default: :obj:`None`)

    Raises:
        ValueError: There are not two cells at different positions.
    """
    order = np.arange(len(pos)) if cells is None else name_order(cells)
    data = place_cells(pos[order], settings, name)
    data.x = torch.from_numpy(x[order].astype(np.float32, copy=False))
    data.cell_id = torch.tensor(cell_id[order], dtype=torch.int64)
    if cells is not None:
        data.cell_hash = torch.from_numpy(name_hashes(cells[order]))
    for label, codes in (labels or {}).items():
        data[label] = torch.tensor(codes[order], dtype=torch.int64)
    data.classes = {label: list(names) for label, names in (classes or {}).items()}
    if settings.virtual_cells:
        data = add_virtual_cells(data, settings)
    data.pos = data.pos.float()
    others = np.arange(len(pos), data.num_nodes)
    return permute_nodes(data, torch.from_numpy(np.concatenate([np.argsort(order), others])))


def place_cells(pos: np.ndarray, settings: SliceSettings, name: str = "") -> Data:
    r"""The cells of a slice without features: positions :math:`(N, 2)` in the unit of the settings, in
    double precision, and the graph between them.

    Args:
        pos (np.ndarray): Positions :math:`(N, 2)`, in the unit of the AnnData.
        settings (SliceSettings): How the slice is made.
        name (str, optional): The name of the slice. (default: :obj:`""`)

    Raises:
        ValueError: There are not two cells at different positions.
    """
    check_spread(pos, name)
    data = Data(
        pos=torch.tensor(pos, dtype=torch.float64),
        node_type=torch.full((len(pos),), NodeType.CELL, dtype=torch.uint8),
    )
    data.name = name
    data.settings = settings.to_json()
    with one_thread():
        data = NormalizePosition(settings.unit, settings.microns_per_unit)(data)
        if settings.radius is None:
            data.edge_index = torch.empty((2, 0), dtype=torch.int64)
            data.edge_attr = torch.empty((0, 1), dtype=torch.float32)
        else:
            data = SpatialRadiusGraph(settings.radius, settings.max_neighbors)(data)
            _check_degrees(data, settings, name)
    return data


def _check_degrees(data: Data, settings: SliceSettings, name: str) -> None:
    degree = torch.bincount(data.edge_index[0], minlength=data.num_nodes)
    mean, isolated = float(degree.double().mean()), float((degree == 0).double().mean())
    few = min(FEW_NEIGHBORS, (data.num_nodes - 1) / 2, (settings.max_neighbors or data.num_nodes) / 2)
    if few <= mean <= MANY_NEIGHBORS and isolated <= MANY_ISOLATED:
        return
    mend = "look at 'radius' and 'unit', and whether positions are repeated"
    if mean > MANY_NEIGHBORS:
        mend = "'max_neighbors' keeps the nearest"
    logger.warning(
        "%s: a cell has %.1f neighbours within %g (unit: %s) on average, and %.0f %% of %d cells have "
        "none; %s",
        f"Slice {name!r}" if name else "The slice",
        mean,
        settings.radius,
        settings.unit,
        100 * isolated,
        data.num_nodes,
        mend,
    )


def add_virtual_cells(data: Data, settings: SliceSettings) -> Data:
    r"""Adds the virtual cells of a slice, whose positions are in double precision, from its features.

    Args:
        data (Data): The cells, with :obj:`x` and :obj:`pos`.
        settings (SliceSettings): How the slice is made.
    """
    with one_thread():
        return AddVirtualCells(settings.max_clusters, settings.alpha, seed=settings.seed)(data)
