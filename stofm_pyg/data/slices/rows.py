import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.data.errors import unknown_key


def slice_rows(adata: AnnData, slice_key: str | None) -> list[tuple[str, np.ndarray]]:
    r"""Returns the name and the rows, in order, of each slice of an :class:`~anndata.AnnData`.

    Args:
        adata (AnnData): One row per cell.
        slice_key (str, optional): The column of :obj:`adata.obs` that names a cell's slice. Slices
            come in the order of its categories, else of their first cell. If :obj:`None`, all cells
            are one slice without a name.
    """
    if slice_key is None:
        return [("", np.arange(adata.n_obs))]
    if slice_key not in adata.obs:
        raise unknown_key(
            slice_key,
            "adata.obs",
            adata.obs.columns,
            "Pass 'slice_key=' with the column that tells slices apart, or None for one slice.",
        )

    column = adata.obs[slice_key]
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} of {adata.n_obs} cells have no slice in 'adata.obs"
            f"[{slice_key!r}]', the first in row {int(np.argmax(missing))}. Leave them out: "
            f"'adata = adata[adata.obs[{slice_key!r}].notna()]'."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, names = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, names = pd.factorize(column)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    rows = np.split(order, ends[:-1]) if len(names) else []
    # A category without cells is no slice.
    return [(str(name), part) for name, part in zip(names, rows, strict=True) if len(part)]
