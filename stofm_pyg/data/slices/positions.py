from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from scipy import sparse

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.keys import Keys
from stofm_pyg.transforms.check_positions import check_extent


def get_positions(
    adata: AnnData, spatial_key: str = Keys.SPATIAL, slices: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    r"""Returns the positions of all cells as :math:`(N, 2)` float64, in the unit of the file. A third
    coordinate that is one in each slice is left out.

    Args:
        adata (AnnData): Its :obj:`obsm` holds the positions.
        spatial_key (str, optional): The key in :obj:`obsm`. (default: :obj:`"spatial"`)
        slices (sequence of np.ndarray, optional): The rows of each slice; all cells are one without.
            (default: :obj:`None`)

    Raises:
        ValueError: There are no cells, no such key, not two coordinates, or ones that are no numbers or
            not finite.
    """
    if spatial_key not in adata.obsm:
        raise unknown_key(
            spatial_key,
            "adata.obsm",
            adata.obsm,
            f"Pass 'spatial_key=' with the key of the positions, or set "
            f"'adata.obsm[{spatial_key!r}]' to an array of shape [{adata.n_obs}, 2].",
        )
    if adata.n_obs == 0:
        raise ValueError(
            "The AnnData has 0 cells; a slice needs at least two. Check the filter that was "
            "applied to it."
        )

    pos = adata.obsm[spatial_key]
    if isinstance(pos, np.ma.MaskedArray):
        pos = pos.astype(np.float64).filled(np.nan)
    pos = pos.toarray() if sparse.issparse(pos) else np.asarray(pos)
    if pos.ndim == 2 and pos.shape[1] == 3:
        pos = _in_planes(_as_numbers(pos, adata, spatial_key), adata, spatial_key, slices)
    if pos.ndim != 2 or pos.shape[1] != 2:
        raise ValueError(
            f"Positions in 'adata.obsm[{spatial_key!r}]' have shape {list(pos.shape)}, expected "
            f"[{adata.n_obs}, 2]. Keep the two coordinates in the plane of the slice: "
            f"'adata.obsm[{spatial_key!r}] = pos[:, :2]'."
        )
    pos = _as_numbers(pos, adata, spatial_key)
    finite = np.isfinite(pos).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"{int((~finite).sum())} of {adata.n_obs} positions in 'adata.obsm[{spatial_key!r}]' "
            f"are not finite, the first in row {row} (cell {adata.obs_names[row]!r}): "
            f"{pos[row].tolist()}. Leave these cells out: "
            f"'adata = adata[np.isfinite(adata.obsm[{spatial_key!r}]).all(axis=1)]'."
        )
    return pos


def _in_planes(
    pos: np.ndarray, adata: AnnData, spatial_key: str, slices: Sequence[np.ndarray] | None
) -> np.ndarray:
    height = pos[:, 2]
    for rows in [np.arange(len(pos))] if slices is None else slices:
        other = height[rows] != height[rows[0]]
        if other.any():
            row = rows[np.argmax(other)]
            raise ValueError(
                f"Positions in 'adata.obsm[{spatial_key!r}]' have shape {list(pos.shape)}, and cells of "
                f"one slice differ in the third coordinate: {height[rows[0]]:g} of cell "
                f"{adata.obs_names[rows[0]]!r}, {height[row]:g} of {adata.obs_names[row]!r}. Pass "
                f"'slice_key=\"z\"' for one slice per plane, or keep the two coordinates in the plane: "
                f"'adata.obsm[{spatial_key!r}] = pos[:, :2]'."
            )
    return pos[:, :2]


def _as_numbers(pos: np.ndarray, adata: AnnData, spatial_key: str) -> np.ndarray:
    try:
        return _floats(pos)
    except (TypeError, ValueError) as error:
        reason = error
    for row, values in enumerate(pos):
        try:
            _floats(values)
        except (TypeError, ValueError):
            raise ValueError(
                f"Positions in 'adata.obsm[{spatial_key!r}]' are no numbers in row {row} (cell "
                f"{adata.obs_names[row]!r}): {values.tolist()}. Leave these cells out, or mend them."
            ) from reason
    raise reason


def _floats(pos: np.ndarray) -> np.ndarray:
    if np.iscomplexobj(pos):
        raise TypeError("complex numbers are no coordinates")
    return pos.astype(np.float64)


def check_spread(pos: np.ndarray, name: str = "") -> None:
    r"""Checks that a slice has at least two cells at different positions, whose distances can be
    computed with: without, it has no unit.

    Args:
        pos (np.ndarray): Positions :math:`(N, 2)`.
        name (str, optional): The name of the slice in the error. (default: :obj:`""`)

    Raises:
        ValueError: It has not.
    """
    slice_name = f"Slice {name!r}" if name else "The slice"
    if len(pos) >= 2 and (pos != pos[0]).any():
        check_extent(pos.min(axis=0), pos.max(axis=0), slice_name)
        return
    where = f", at {pos[0].tolist()}" if len(pos) else ""
    raise ValueError(
        f"{slice_name} needs at least two cells at different positions, it has {len(pos)} "
        f"cell{'s' * (len(pos) != 1)}{where}. Leave it out, or check that 'spatial_key' and "
        f"'slice_key' name the right columns."
    )
