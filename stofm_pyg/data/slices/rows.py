import logging

import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.keys import Keys
from stofm_pyg.data.slices.names import missing_values, one_column

logger = logging.getLogger(__name__)

#: The slice key of planes that lie above one another.
PLANES = "z"


def slice_rows(
    adata: AnnData, slice_key: str | None, spatial_key: str = Keys.SPATIAL
) -> list[tuple[str, np.ndarray]]:
    r"""Returns the name and the rows, in order, of each slice of an :class:`~anndata.AnnData`.

    Args:
        adata (AnnData): One row per cell.
        slice_key (str, optional): The column of :obj:`adata.obs` that names a cell's slice. Slices
            come in the order of its categories, else of their first cell. If :obj:`None`, or without a
            column :obj:`"slice"` of that default name, all cells are one slice without a name.
            :obj:`"z"` is the third coordinate, too, if there is no such column; planes rise.
        spatial_key (str, optional): The key in :obj:`adata.obsm` of positions, for :obj:`"z"`.
            (default: :obj:`"spatial"`)

    Raises:
        ValueError: There is no such column, or there are several, a cell has no slice in it, or nearly
            each has its own :obj:`"z"`.
    """
    if slice_key == Keys.SLICE and slice_key not in adata.obs:
        slice_key = None
    if slice_key is None:
        return [("", np.arange(adata.n_obs))]
    if not has_slices(adata, slice_key, spatial_key):
        raise unknown_key(
            slice_key,
            "adata.obs",
            adata.obs.columns,
            "Pass 'slice_key=' with the column that tells slices apart, or None for one slice.",
        )
    column = _column(adata, slice_key, spatial_key)
    missing = missing_values(column)
    if missing.any():
        row = int(np.argmax(missing))
        value = column.iloc[row]
        chosen = f" != {value!r}" if isinstance(value, str) else ".notna()"
        raise ValueError(
            f"{int(missing.sum())} of {adata.n_obs} cells have no slice in 'adata.obs"
            f"[{slice_key!r}]', the first in row {row}. Leave them out: "
            f"'adata = adata[adata.obs[{slice_key!r}]{chosen}]'."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, names = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, names = pd.factorize(column)
    # Names are text: 1 and "1" are one slice, as they are in a file.
    same, names = pd.factorize(np.array([str(name) for name in names], dtype=object))
    codes = same[codes]
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    rows = np.split(order, ends[:-1]) if len(names) else []
    # A category without cells is no slice.
    return [(name, part) for name, part in zip(names, rows, strict=True) if len(part)]


def has_slices(adata: AnnData, slice_key: str | None, spatial_key: str = Keys.SPATIAL) -> bool:
    r"""Whether a column of :obj:`adata.obs`, or of :obj:`"z"` the third coordinate, tells slices apart;
    the arguments are those of :meth:`slice_rows`."""
    return slice_key in adata.obs or (slice_key == PLANES and _height(adata, spatial_key) is not None)


def _height(adata: AnnData, spatial_key: str) -> np.ndarray | None:
    if spatial_key not in adata.obsm or len(adata.obsm[spatial_key].shape) != 2:
        return None
    pos = adata.obsm[spatial_key]
    return np.asarray(pos)[:, 2] if pos.shape[1] == 3 else None


def _column(adata: AnnData, slice_key: str, spatial_key: str) -> pd.Series:
    if slice_key in adata.obs:
        column = one_column(adata.obs, slice_key)
    else:
        column = pd.Series(_height(adata, spatial_key), index=adata.obs_names)
    if slice_key != PLANES or not pd.api.types.is_numeric_dtype(column.dtype):
        return column
    planes = column.nunique()
    if 2 * planes > max(len(column), 2):
        raise ValueError(
            f"'z' has {planes:,} values for {len(column):,} cells, which lie in no planes. Round it to "
            f"planes first: 'adata.obs[\"z\"] = (z / thickness).round()'."
        )
    return column.astype("category")  # In rising order.


def check_joined(adata: AnnData, pos: np.ndarray | None = None, slice_key: str | None = None) -> None:
    r"""Says so where all cells become one slice although a column tells several apart.

    Args:
        adata (AnnData): One row per cell.
        pos (np.ndarray, optional): Positions :math:`(N, 2)`; slices that lie on one another are then
            refused. (default: :obj:`None`)
        slice_key (str, optional): The column; if :obj:`None`, that of the default name,
            :obj:`"slice"`. (default: :obj:`None`)

    Raises:
        ValueError: Two slices overlap.
    """
    slice_key = Keys.SLICE if slice_key is None else slice_key
    if slice_key not in adata.obs:
        return
    column = one_column(adata.obs, slice_key)
    number = column.nunique()
    if number < 2:
        return
    if pos is not None:
        pair = _overlapping(column, pos)
        if pair is not None:
            raise ValueError(
                f"'adata.obs[{slice_key!r}]' tells {number} slices apart, of which {pair[0]!r} and "
                f"{pair[1]!r} lie on one another, so that they cannot be one. Pass "
                f"'slice_key={slice_key!r}'."
            )
    logger.warning(
        "'adata.obs[%r]' tells %d slices apart, which become one here: 'slice_key=%r' keeps them apart",
        slice_key,
        number,
        slice_key,
    )


def _overlapping(column: pd.Series, pos: np.ndarray) -> tuple[str, str] | None:
    # By their bounding boxes: a quarter of the smaller one is more than a touch.
    codes, names = pd.factorize(column)
    boxes = [(pos[codes == k].min(axis=0), pos[codes == k].max(axis=0)) for k in range(len(names))]
    for i, (low, high) in enumerate(boxes):
        for j in range(i):
            common = np.minimum(high, boxes[j][1]) - np.maximum(low, boxes[j][0])
            smaller = min(np.prod(high - low), np.prod(boxes[j][1] - boxes[j][0]))
            if (common > 0).all() and np.prod(common) > 0.25 * smaller:
                return str(names[j]), str(names[i])
    return None
