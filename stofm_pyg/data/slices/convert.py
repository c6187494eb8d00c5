import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data.keys import Keys
from stofm_pyg.data.slices.features import get_features
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.positions import check_spread, get_positions
from stofm_pyg.data.slices.rows import slice_rows
from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.transforms import AddVirtualCells, NormalizePosition, SpatialRadiusGraph


def build_data(
    x: np.ndarray,
    pos: np.ndarray,
    cell_id: np.ndarray,
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, Sequence[str]],
    *,
    name: str = "",
    unit: str = "spacing",
    microns_per_unit: float = 1.0,
    radius: float | None = 8.0,
    max_neighbors: int | None = None,
    virtual_cells: bool = True,
    max_clusters: int = 50,
    alpha: float = 0.2,
    seed: int = 0,
) -> Data:
    r"""Makes the :class:`~torch_geometric.data.Data` of one slice from arrays, one row per cell.

    Positions stay in double precision until the graph and the clusters are there, so that turning
    the slice does not move a pair of cells across the radius.

    Args:
        x (np.ndarray): Features :math:`(N, F)`.
        pos (np.ndarray): Positions :math:`(N, 2)`.
        cell_id (np.ndarray): The row of each cell in its AnnData :math:`(N)`.
        labels (dict): Class numbers :math:`(N)` by name, -1 where unknown.
        classes (dict): Names of the classes of each label.
        name (str, optional): The name of the slice. (default: :obj:`""`)

    The other arguments are those of :meth:`from_anndata`.
    """
    check_spread(pos, name)
    data = Data(
        x=torch.tensor(x, dtype=torch.float32),
        pos=torch.tensor(pos, dtype=torch.float64),
        node_type=torch.full((len(pos),), NodeType.CELL, dtype=torch.uint8),
        cell_id=torch.tensor(cell_id, dtype=torch.int64),
    )
    for label, codes in labels.items():
        data[label] = torch.tensor(codes, dtype=torch.int64)
    data.classes = {label: list(names) for label, names in classes.items()}
    data.name = name

    data = NormalizePosition(unit=unit, microns_per_unit=microns_per_unit)(data)
    if radius is None:
        data.edge_index = torch.empty((2, 0), dtype=torch.int64)
        data.edge_attr = torch.empty((0, 1), dtype=torch.float32)
    else:
        data = SpatialRadiusGraph(radius, max_neighbors=max_neighbors)(data)
    if virtual_cells:
        data = AddVirtualCells(max_clusters=max_clusters, alpha=alpha, seed=seed)(data)
    data.pos = data.pos.float()
    return data


def slices_from_anndata(
    adata: AnnData | str | os.PathLike,
    *,
    slice_key: str | None = Keys.SLICE,
    spatial_key: str = Keys.SPATIAL,
    layer: str | None = None,
    features: str | np.ndarray | Tensor = "pca",
    num_features: int = 50,
    labels: str | Sequence[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
    unit: str = "spacing",
    microns_per_unit: float = 1.0,
    radius: float | None = 8.0,
    max_neighbors: int | None = None,
    virtual_cells: bool = True,
    max_clusters: int = 50,
    alpha: float = 0.2,
    seed: int = 0,
) -> list[Data]:
    r"""Converts an :class:`~anndata.AnnData` of several slices to one
    :class:`~torch_geometric.data.Data` per slice.

    Principal components are found over all slices together and then centred in each; classes have
    the same numbers in all slices; no edge crosses slices. :obj:`data.cell_id` is the row in
    :obj:`adata`, so that :meth:`to_anndata` finds its way back, and :obj:`data.name` the name of
    the slice.

    Args:
        adata (AnnData or str or PathLike): Cells by genes, or an h5ad file.
        slice_key (str, optional): The column of :obj:`adata.obs` that tells slices apart. Slices
            come in the order of its categories, else of their first cell. If :obj:`None`, all cells
            are one slice. (default: :obj:`"slice"`)

    The other arguments, and what a slice holds, are those of :meth:`from_anndata`.

    Example:
        >>> slices = slices_from_anndata("brain.h5ad", slice_key="section", labels="layer")
        >>> slices[0].classes["layer"]
        ['L1', 'L2/3', 'L5', 'L6']
    """
    with opened_anndata(adata) as adata:
        pos = get_positions(adata, spatial_key)
        groups = slice_rows(adata, slice_key)
        codes, names = encode_labels(adata.obs, labels, classes)
        batch = np.empty(adata.n_obs, dtype=np.int64)
        for number, (name, rows) in enumerate(groups):
            check_spread(pos[rows], name)  # Before the work on its counts.
            batch[rows] = number
        x = get_features(adata, features, layer=layer, num_features=num_features, batch=batch, seed=seed)

    return [
        build_data(
            x[rows],
            pos[rows],
            rows,
            {label: values[rows] for label, values in codes.items()},
            names,
            name=name,
            unit=unit,
            microns_per_unit=microns_per_unit,
            radius=radius,
            max_neighbors=max_neighbors,
            virtual_cells=virtual_cells,
            max_clusters=max_clusters,
            alpha=alpha,
            seed=seed,
        )
        for name, rows in groups
    ]


logger = logging.getLogger(__name__)


def from_anndata(
    adata: AnnData | str | os.PathLike,
    *,
    spatial_key: str = Keys.SPATIAL,
    layer: str | None = None,
    features: str | np.ndarray | Tensor = "pca",
    num_features: int = 50,
    labels: str | Sequence[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
    unit: str = "spacing",
    microns_per_unit: float = 1.0,
    radius: float | None = 8.0,
    max_neighbors: int | None = None,
    virtual_cells: bool = True,
    max_clusters: int = 50,
    alpha: float = 0.2,
    seed: int = 0,
) -> Data:
    r"""Converts an :class:`~anndata.AnnData` of one slice to a
    :class:`~torch_geometric.data.Data` (see :meth:`slices_from_anndata` for several slices).

    The AnnData is not changed, its cells keep their order, and its counts stay sparse. For
    :math:`N` cells and :math:`V` virtual cells, which follow the cells, the slice holds:

    * :obj:`x` :math:`(N + V, F)` float32: features; those of a virtual cell are its cells' mean
    * :obj:`pos` :math:`(N + V, 2)` float32: positions, in the unit that :obj:`unit` names
    * :obj:`node_type` :math:`(N + V)` uint8: a :class:`~stofm_pyg.nn.node_type.NodeType`
    * :obj:`cell_id` :math:`(N + V)` int64: the row in :obj:`adata`, -1 for virtual cells
    * :obj:`edge_index` :math:`(2, E)` int64 and :obj:`edge_attr` :math:`(E, 1)` float32: the radius
      graph of the cells and the distance along each edge
    * :obj:`cluster` :math:`(N + V)` int64: the cluster of each cell (with virtual cells only)
    * one key :math:`(N + V)` int64 per label, -1 where unknown; :obj:`classes[label]` are the names

    Args:
        adata (AnnData or str or PathLike): Cells by genes (CSR, CSC or dense; in memory, a view, or
            backed), or an h5ad file.
        spatial_key (str, optional): The key in :obj:`adata.obsm` of the positions :math:`(N, 2)`.
            (default: :obj:`"spatial"`)
        layer (str, optional): The key in :obj:`adata.layers` of the raw counts; if :obj:`None`,
            they are in :obj:`adata.X`. (default: :obj:`None`)
        features (str or np.ndarray or Tensor, optional): :obj:`"pca"` for principal components of
            the counts, a key in :obj:`adata.obsm`, or features :math:`(N, F)`.
            (default: :obj:`"pca"`)
        num_features (int, optional): Number of principal components. (default: :obj:`50`)
        labels (str or sequence of str, optional): Columns of :obj:`adata.obs` to take along as
            labels. (default: :obj:`()`)
        classes (dict, optional): Names of the classes of a label in order, to give another
            slice the same class numbers. If :obj:`None`, they are the categories of a categorical
            column (used or not) or the sorted values of any other. (default: :obj:`None`)
        unit (str, optional): The unit of :obj:`pos`, see
            :class:`~stofm_pyg.transforms.NormalizePosition`: :obj:`"spacing"` (median distance to
            the nearest neighbour), :obj:`"micron"` or :obj:`"official"`.
            (default: :obj:`"spacing"`)
        microns_per_unit (float, optional): The length in microns of the unit of the positions in
            :obj:`adata`, for :obj:`unit="micron"`. (default: :obj:`1.0`)
        radius (float, optional): Cells up to this distance, in :obj:`unit`, are joined. If
            :obj:`None`, there are no edges. (default: :obj:`8.0`)
        max_neighbors (int, optional): Keeps only the nearest neighbours, see
            :class:`~stofm_pyg.transforms.SpatialRadiusGraph`. (default: :obj:`None`)
        virtual_cells (bool, optional): Adds virtual cells, see
            :class:`~stofm_pyg.transforms.AddVirtualCells`. (default: :obj:`True`)
        max_clusters (int, optional): The largest number of virtual cells. (default: :obj:`50`)
        alpha (float, optional): Weight of positions against features in the clusters.
            (default: :obj:`0.2`)
        seed (int, optional): Seed of PCA and clusters. (default: :obj:`0`)

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: The file is damaged, a key does not exist, positions or counts are none, or the
            slice has not two cells at different positions.

    Example:
        >>> data = from_anndata("slice.h5ad", labels="domain")
        >>> data.x.shape, data.classes["domain"]
        (torch.Size([1062, 50]), ['L1', 'L2/3', 'L5', 'L6'])
    """
    with opened_anndata(adata) as adata:
        if Keys.SLICE in adata.obs and adata.obs[Keys.SLICE].nunique() > 1:
            logger.warning(
                "'adata.obs[%r]' tells %d slices apart, which become one Data here: "
                "'slices_from_anndata' keeps them apart",
                Keys.SLICE,
                adata.obs[Keys.SLICE].nunique(),
            )
        (data,) = slices_from_anndata(
            adata,
            slice_key=None,
            spatial_key=spatial_key,
            layer=layer,
            features=features,
            num_features=num_features,
            labels=labels,
            classes=classes,
            unit=unit,
            microns_per_unit=microns_per_unit,
            radius=radius,
            max_neighbors=max_neighbors,
            virtual_cells=virtual_cells,
            max_clusters=max_clusters,
            alpha=alpha,
            seed=seed,
        )
    return data
