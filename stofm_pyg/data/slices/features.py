import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.components import expression_pca
from stofm_pyg.data.slices.counts import get_counts
from stofm_pyg.data.slices.names import rows_by_name


def get_features(
    adata: AnnData,
    features: str | np.ndarray | pd.DataFrame | Tensor = "pca",
    *,
    layer: str | None = None,
    num_features: int = 50,
    batch: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    r"""Returns the features of all cells as :math:`(N, F)` float32.

    Args:
        adata (AnnData): Cells by genes.
        features (str or array or DataFrame, optional): :obj:`"pca"`, the principal components of
            the counts (see :meth:`expression_pca`); the key of an embedding in :obj:`adata.obsm`;
            or the features themselves, one row per cell: in the order of the cells or, of a DataFrame,
            by their names. (default: :obj:`"pca"`)
        layer (str, optional): The layer with the counts, else :obj:`adata.X`, for :obj:`"pca"`
            only. (default: :obj:`None`)
        num_features (int, optional): Number of components, for :obj:`"pca"` only.
            (default: :obj:`50`)
        batch (np.ndarray, optional): The slice of each cell :math:`(N)`, in which components are
            centred. (default: :obj:`None`)
        seed (int, optional): Seed of the PCA. (default: :obj:`0`)

    Raises:
        ValueError: There is no such key, the features are not finite, not one row for each cell or of
            other cells, or a value is no count.
    """
    if isinstance(features, str) and features == "pca":
        counts = get_counts(adata, layer)
        return expression_pca(counts, num_features, batch=batch, seed=seed)

    if isinstance(features, str):
        if features not in adata.obsm:
            raise unknown_key(
                features,
                "adata.obsm",
                adata.obsm,
                "Pass features='pca' for principal components of the counts.",
            )
        name, values = f"adata.obsm[{features!r}]", adata.obsm[features]
    else:
        name, values = "features", features

    if isinstance(values, pd.DataFrame):
        mend = "Pass '.to_numpy()' if its rows are those of the cells all the same."
        what, where = f"Rows of '{name}'", "'adata.obs_names'"
        rows = rows_by_name(values.index, adata.obs_names, what, where, mend)
        values = values if rows is None else values.iloc[rows]
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float32)
    if sparse.issparse(values):
        values = values.toarray()
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[0] != adata.n_obs or values.shape[1] == 0:
        raise ValueError(
            f"'{name}' has shape {list(values.shape)}, expected [{adata.n_obs}, F]: one row of "
            f"features for each of the {adata.n_obs} cells."
        )
    try:
        if np.iscomplexobj(values):
            raise TypeError("complex numbers")
        values = values.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{name}' holds what are no real numbers ({error}). Leave such columns out."
        ) from error
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"{int((~finite).sum())} of {adata.n_obs} cells have non-finite features in '{name}', "
            f"the first in row {row} (cell {adata.obs_names[row]!r}). Leave these cells out or "
            f"compute their features again."
        )
    return values
