import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from stofm_pyg.data import Keys, read
from stofm_pyg.data.readers import find_format
from stofm_pyg.data.readers.stores import opened_store
from stofm_pyg.data.slices.counts import canonical

# So many cells tell whether values are counts; they lie in so many runs of rows, quick to read.
MOST_CELLS, NUM_RUNS = 5000, 5


@dataclass
class Glimpse:
    r"""What a source of slices holds, with the values of a few thousand cells alone."""

    #: The name of the format.
    format: str
    #: All cells, their positions, and the unit of these, without values.
    cells: AnnData
    #: The genes, by where values lie: :obj:`"X"`, :obj:`"layers['raw']"`, :obj:`"raw"`.
    genes: dict[str, pd.DataFrame]
    #: The rows that were looked at, rising :math:`(M)`.
    rows: np.ndarray
    #: Their values :math:`(M, G)` by where these lie.
    values: dict[str, sparse.csr_matrix]


def glimpse(
    source: AnnData | str | os.PathLike, spatial_key: str = Keys.SPATIAL, layer: str | None = None
) -> Glimpse:
    r"""Looks at a source of slices, in time and memory that do not grow with the number of its counts
    where it is an h5ad or AnnData in zarr that keeps them by cell.

    Args:
        source (AnnData or str or PathLike): The AnnData, or the file or folder.
        spatial_key (str, optional): The key of the positions. (default: :obj:`"spatial"`)
        layer (str, optional): The only layer to look at; :obj:`X`, all layers and :obj:`raw` without.
            (default: :obj:`None`)
    """
    if isinstance(source, AnnData):
        return _of_anndata(source, "AnnData", spatial_key, layer)
    found = find_format(source)
    if not found.is_store:
        return _of_anndata(read(source), found.name, spatial_key, layer)
    with opened_store(Path(source).expanduser()) as group:
        obs, var = read_elem(group["obs"]), read_elem(group["var"])
        cells = AnnData(obs=obs.set_axis(obs.index.astype(str)))
        if spatial_key in group.get("obsm", {}):
            cells.obsm[spatial_key] = np.asarray(read_elem(group["obsm"][spatial_key]))
        if Keys.UNIT in group.get("uns", {}):
            cells.uns[Keys.UNIT] = str(read_elem(group["uns"][Keys.UNIT]))
        layers = {name: group["layers"][name] for name in group.get("layers", {})}
        stored = {"X": group.get("X"), **{f"layers[{name!r}]": part for name, part in layers.items()}}
        genes = dict.fromkeys(stored, var)
        if "X" in group.get("raw", {}):
            stored["raw"], genes["raw"] = group["raw"]["X"], read_elem(group["raw"]["var"])
        return _looked(found.name, cells, genes, stored, layer, _rows_of_stored)


def _of_anndata(adata: AnnData, name: str, spatial_key: str, layer: str | None) -> Glimpse:
    cells = AnnData(obs=adata.obs.set_axis(adata.obs_names.astype(str)))
    if spatial_key in adata.obsm:
        cells.obsm[spatial_key] = np.asarray(adata.obsm[spatial_key])
    if Keys.UNIT in adata.uns:
        cells.uns[Keys.UNIT] = str(adata.uns[Keys.UNIT])
    stored = {"X": adata.X, **{f"layers[{key!r}]": value for key, value in adata.layers.items()}}
    genes = dict.fromkeys(stored, adata.var)
    if adata.raw is not None:
        stored["raw"], genes["raw"] = adata.raw.X, adata.raw.var
    return _looked(name, cells, genes, stored, layer, lambda part, start, end: part[start:end])


def _looked(
    name: str,
    cells: AnnData,
    genes: dict[str, pd.DataFrame],
    stored: dict[str, Any],
    layer: str | None,
    rows_of: Callable[[Any, int, int], Any],
) -> Glimpse:
    if layer is not None:
        stored = {key: part for key, part in stored.items() if key == f"layers[{layer!r}]"}
    runs = _runs(cells.n_obs)
    values = {
        key: sparse.vstack([canonical(rows_of(part, *run), key) for run in runs], format="csr")
        for key, part in stored.items()
        if part is not None and runs
    }
    rows = np.concatenate([np.arange(*run) for run in runs]) if runs else np.arange(0)
    return Glimpse(name, cells, genes, rows, values)


def _runs(num_cells: int) -> list[tuple[int, int]]:
    if num_cells <= MOST_CELLS:
        return [(0, num_cells)] if num_cells > 0 else []
    length = MOST_CELLS // NUM_RUNS
    starts = np.linspace(0, num_cells - length, NUM_RUNS).astype(int)
    return [(int(start), int(start) + length) for start in starts]


def _rows_of_stored(part: Any, start: int, end: int) -> Any:
    matrix = part if hasattr(part, "shape") else sparse_dataset(part)
    return matrix[start:end]
