import os
from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data.build_data import build_data
from stofm_pyg.data.check_spread import check_spread
from stofm_pyg.data.encode_labels import encode_labels
from stofm_pyg.data.get_features import get_features
from stofm_pyg.data.get_positions import get_positions
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.open_anndata import opened_anndata
from stofm_pyg.data.slice_rows import slice_rows


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
        x = get_features(
            adata, features, layer=layer, num_features=num_features, batch=batch, seed=seed
        )

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
