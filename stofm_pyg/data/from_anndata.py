import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data.keys import Keys
from stofm_pyg.data.open_anndata import opened_anndata
from stofm_pyg.data.slices_from_anndata import slices_from_anndata

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
