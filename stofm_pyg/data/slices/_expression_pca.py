import logging

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.utils.sparsefuncs import mean_variance_axis

logger = logging.getLogger(__name__)

# Up to here the genes x genes covariance is small, and its eigenvectors are found faster than
# those of the cells x genes matrix by iteration.
MAX_GENES_FOR_COVARIANCE = 1000


def expression_pca(
    counts: sparse.csr_matrix,
    num_components: int = 50,
    *,
    batch: np.ndarray | None = None,
    scale: bool = False,
    seed: int = 0,
) -> np.ndarray:
    r"""Returns the principal components of log-normalised counts, without making them dense.

    Each cell is scaled to the median total count (a cell without counts stays zero), then
    :math:`\log(1 + x)` is taken and the components of the (implicitly) centred genes are found.

    Args:
        counts (csr_matrix): Counts, cells by genes; not changed.
        num_components (int, optional): Number of components. A matrix of :math:`N` cells and
            :math:`G` genes has no more than :math:`\min(N - 1, G)`: then fewer are returned, with a
            warning in the log. (default: :obj:`50`)
        batch (np.ndarray, optional): The slice of each cell, :math:`(N)` integers. If given,
            components are found over all cells and then centred within each slice.
            (default: :obj:`None`)
        scale (bool, optional): If set to :obj:`True`, divides each gene by its standard deviation
            before the components are found. (default: :obj:`False`)
        seed (int, optional): Seed of the iteration used for many genes. (default: :obj:`0`)

    Shapes:
        - **input:** :math:`(N, G)`
        - **output:** :math:`(N, K)` float32, by falling variance; in each component, the gene of
          the largest weight has a positive one.
    """
    num_cells, num_genes = counts.shape
    if num_components < 1:
        raise ValueError(f"'num_components' must be at least 1, got {num_components}.")
    if num_cells < 2 or num_genes < 1:
        raise ValueError(
            f"A PCA needs at least two cells and one gene, got {num_cells} cells and {num_genes} "
            f"genes. Pass 'features=' with an array or the key of an embedding in 'adata.obsm'."
        )
    size = min(num_components, num_cells - 1, num_genes)
    if size < num_components:
        logger.warning(
            "%d cells and %d genes have %d principal components, %d were asked for",
            num_cells,
            num_genes,
            size,
            num_components,
        )

    expression = _log_normalize(counts)
    _, variance = mean_variance_axis(expression, axis=0)
    # What is left by cancellation where a gene is the same in all cells is not variance.
    variance[variance <= 1e-12 * variance.max(initial=0.0)] = 0.0
    if not variance.any():
        logger.warning("No gene varies between the %d cells: all components are 0", num_cells)
        return np.zeros((num_cells, size), dtype=np.float32)
    if scale:
        deviation = np.sqrt(np.where(variance > 0, variance, 1.0))
        expression.data /= deviation[expression.indices]

    solver = "covariance_eigh" if num_genes <= MAX_GENES_FOR_COVARIANCE else "arpack"
    pca = PCA(n_components=size, svd_solver=solver, random_state=seed)
    scores = pca.fit_transform(expression)
    # Beyond the rank of the matrix there is only rounding: a reader that divides by the standard
    # deviation would blow it up.
    scores[:, pca.explained_variance_ <= 1e-12 * pca.explained_variance_[0]] = 0.0

    if batch is not None:
        _center(scores, np.asarray(batch))
    return scores.astype(np.float32)


def _log_normalize(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    totals = np.asarray(counts.sum(axis=1, dtype=np.float64)).reshape(-1)
    positive = totals > 0
    target = np.median(totals[positive]) if positive.any() else 1.0
    factor = np.divide(target, totals, out=np.zeros_like(totals), where=positive)
    values = np.log1p(counts.data * np.repeat(factor, np.diff(counts.indptr)))
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _center(scores: np.ndarray, batch: np.ndarray) -> None:
    if batch.shape != scores.shape[:1]:
        raise ValueError(
            f"'batch' must give one slice for each of the {scores.shape[0]} cells, got shape "
            f"{batch.shape}."
        )
    _, codes = np.unique(batch, return_inverse=True)
    for code in range(int(codes.max()) + 1):
        scores[codes == code] -= scores[codes == code].mean(axis=0)
