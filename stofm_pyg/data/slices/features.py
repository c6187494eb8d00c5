import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor

from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices._expression_pca import expression_pca
from stofm_pyg.data.slices.counts import get_counts


def get_features(
    adata: AnnData,
    features: str | np.ndarray | Tensor = "pca",
    *,
    layer: str | None = None,
    num_features: int = 50,
    batch: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    r"""Returns the features of all cells as :math:`(N, F)` float32.

    Args:
        adata (AnnData): Cells by genes.
        features (str or np.ndarray or Tensor, optional): :obj:`"pca"`, the principal components of
            the counts (see :meth:`expression_pca`); the key of an embedding in :obj:`adata.obsm`;
            or the features themselves, one row per cell. (default: :obj:`"pca"`)
        layer (str, optional): The layer with the counts, else :obj:`adata.X`, for :obj:`"pca"`
            only. (default: :obj:`None`)
        num_features (int, optional): Number of components, for :obj:`"pca"` only.
            (default: :obj:`50`)
        batch (np.ndarray, optional): The slice of each cell :math:`(N)`, in which components are
            centred. (default: :obj:`None`)
        seed (int, optional): Seed of the PCA. (default: :obj:`0`)
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
    values = values.astype(np.float32)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(
            f"{int((~finite).sum())} of {adata.n_obs} cells have non-finite features in '{name}', "
            f"the first in row {row} (cell {adata.obs_names[row]!r}). Leave these cells out or "
            f"compute their features again."
        )
    return values
