r"""Embeddings in two dimensions."""

import warnings

import numpy as np

from stofm_pyg._threads import one_thread

METHODS = ("umap", "tsne", "pca")


def flatten(
    z: np.ndarray, method: str | None = None, num_neighbors: int = 15, seed: int = 0
) -> tuple[np.ndarray, str]:
    r"""Returns embeddings in two dimensions :math:`(N, 2)`, and the name of the method,
    or none where they have two already.

    Args:
        z (np.ndarray): Embeddings :math:`(N, C)`.
        method (str, optional): :obj:`"umap"`, of the package :obj:`umap-learn`; :obj:`"tsne"` or
            :obj:`"pca"`, of scikit-learn. UMAP without, or t-SNE where that package is missing.
            (default: :obj:`None`)
        num_neighbors (int, optional): Neighbours that UMAP keeps near. (default: :obj:`15`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Raises:
        ImportError: UMAP was asked for, and its package is missing.
        ValueError: There is no such method, or there are fewer than three cells.
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"Unknown method '{method}'; known: {', '.join(METHODS)}")
    z = np.asarray(z, dtype=np.float32)
    if len(z) < 3:
        raise ValueError(f"{len(z)} cells cannot be laid out in two dimensions; pass at least three")
    if z.shape[1] == 2 and method is None:
        return z, ""
    if len(z) <= 5 or z.shape[1] == 1:
        method = "pca"  # Too few for neighbours.
    if method in (None, "umap"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # That a seed takes one thread, and the like.
                from umap import UMAP

                near = min(num_neighbors, len(z) - 1)
                return UMAP(n_neighbors=near, random_state=seed, n_jobs=1).fit_transform(z), "UMAP"
        except ImportError as error:
            if method == "umap":
                raise ImportError(
                    "UMAP needs the package 'umap-learn': 'pip install \"stofm-pyg[plot]\"', or pass "
                    "'method=\"tsne\"'"
                ) from error
    with one_thread():
        if method == "pca":
            centred = z - z.mean(axis=0)
            u, s, _ = np.linalg.svd(centred, full_matrices=False)
            flat = np.zeros((len(z), 2))
            flat[:, : min(2, len(s))] = (u * s)[:, :2]
            return flat, "PCA"
        from sklearn.manifold import TSNE

        near = min(30.0, (len(z) - 1) / 3)
        return TSNE(perplexity=near, init="pca", random_state=seed).fit_transform(z), "t-SNE"
