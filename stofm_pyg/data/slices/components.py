import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.utils.sparsefuncs import mean_variance_axis

logger = logging.getLogger(__name__)

# Up to here the genes x genes covariance is small, and its eigenvectors are found faster than
# those of the cells x genes matrix by iteration.
MAX_GENES_FOR_COVARIANCE = 1000
# A panel is taken whole; of a transcriptome, the genes that vary.
LARGEST_PANEL, TOP_GENES = 4000, 2000


class ExpressionComponents(NamedTuple):
    r"""Principal components of log-normalised counts, for cells that they were not found on, too.

    Args:
        target (float): The total count that each cell is scaled to.
        share (np.ndarray): The mean share that each gene has of a cell's counts :math:`(G)`.
        mean (np.ndarray): The mean log-normalised expression of each gene :math:`(G)`.
        loadings (np.ndarray): The weight of each gene in each component :math:`(G, K)`.
    """

    target: float
    share: np.ndarray
    mean: np.ndarray
    loadings: np.ndarray

    def transform(self, counts: sparse.csr_matrix, genes: np.ndarray | None = None) -> np.ndarray:
        r"""Returns the components of cells :math:`(N, K)`, float64.

        Args:
            counts (csr_matrix): Counts :math:`(N, G')`, cells by genes.
            genes (np.ndarray, optional): Which of the genes the columns are :math:`(G')`; the others
                count as their mean. Without, columns are all genes in order. (default: :obj:`None`)
        """
        genes = np.arange(len(self.mean)) if genes is None else genes
        expression = log_normalize(counts, self.target * share_of(self.share, genes))
        loadings = self.loadings[genes]
        return expression @ loadings - self.mean[genes] @ loadings


def fit_components(
    counts: sparse.csr_matrix,
    num_components: int = 50,
    *,
    scale: bool = False,
    top_genes: int | None = None,
    seed: int = 0,
) -> ExpressionComponents:
    r"""Finds the principal components of log-normalised counts; arguments and errors are those of
    :meth:`expression_pca`, and:

    Args:
        top_genes (int, optional): So many genes, those whose log-normalised expression varies most, have
            a part in the components, the others a weight of zero. (default: :obj:`None`)
    """
    num_cells, num_genes = counts.shape
    size = number_of_components(num_cells, num_genes, num_components)
    target, share = depth_of([counts])
    expression = log_normalize(counts, target)
    mean, variance = mean_variance_axis(expression, axis=0)
    variance = true_variance(variance, num_cells)
    if not variance.any():
        return ExpressionComponents(target, share, mean, np.zeros((num_genes, size)))
    deviation = np.sqrt(np.where(variance > 0, variance, 1.0)) if scale else np.ones(num_genes)
    expression.data /= deviation[expression.indices]
    chosen = most_variable(variance, top_genes)
    if len(chosen) < num_genes:
        expression = expression[:, chosen]
        size = min(size, len(chosen))

    solver = "covariance_eigh" if len(chosen) <= MAX_GENES_FOR_COVARIANCE else "arpack"
    pca = PCA(n_components=size, svd_solver=solver, random_state=seed).fit(expression)
    loadings = np.zeros((num_genes, size))
    loadings[chosen] = pca.components_.T / deviation[chosen, None]
    # Beyond the rank of the matrix there is only rounding: a reader that divides by the standard
    # deviation would blow it up.
    loadings[:, pca.explained_variance_ <= 1e-12 * pca.explained_variance_[0]] = 0.0
    return ExpressionComponents(target, share, mean, loadings)


def genes_to_take(num_genes: int) -> int | None:
    r"""Returns how many of so many genes have a part in the components of a model, as :obj:`top_genes`
    of :meth:`fit_components`: all of a panel, the most variable ones of a transcriptome."""
    return TOP_GENES if num_genes > LARGEST_PANEL else None


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

    Raises:
        ValueError: There are fewer than two cells, no gene, or no component is asked for, or
            :obj:`batch` does not fit.
    """
    components = fit_components(counts, num_components, scale=scale, seed=seed)
    scores = components.transform(counts)
    if batch is not None:
        _center(scores, np.asarray(batch))
    return scores.astype(np.float32)


def number_of_components(num_cells: int, num_genes: int, asked: int) -> int:
    r"""Returns how many components there are, at most as many as asked for; says so if fewer.

    Raises:
        ValueError: There are fewer than two cells, no gene, or no component is asked for.
    """
    if asked < 1:
        raise ValueError(f"'num_components' must be at least 1, got {asked}.")
    if num_cells < 2 or num_genes < 1:
        raise ValueError(
            f"A PCA needs at least two cells and one gene, got {num_cells} cells and {num_genes} "
            f"genes. Pass 'features=' with an array or the key of an embedding in 'adata.obsm'."
        )
    size = min(asked, num_cells - 1, num_genes)
    if size < asked:
        logger.warning(
            "%d cells and %d genes have %d principal components, %d were asked for",
            num_cells, num_genes, size, asked,
        )  # fmt: skip
    return size


def depth_of(slices: Sequence[sparse.csr_matrix]) -> tuple[float, np.ndarray]:
    r"""Returns the median total count of a cell of some slices, and the mean share that each gene has of
    it :math:`(G)`; cells without counts have no part.

    Args:
        slices (sequence of csr_matrix): The counts of each slice :math:`(N_i, G)`.
    """
    totals, share = [], np.zeros(slices[0].shape[1])
    for counts in slices:
        total = _totals(counts)
        share += counts.T @ np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        totals.append(total[total > 0])
    totals = np.concatenate(totals)
    return (float(np.median(totals)) if totals.size else 1.0), share / max(1, totals.size)


def share_of(share: np.ndarray, genes: np.ndarray) -> float:
    r"""What some genes at hand have of a cell's counts, so that missing ones change no scale.

    Args:
        share (np.ndarray): The mean share of each gene :math:`(G)`.
        genes (np.ndarray): The genes that are there :math:`(G')`.
    """
    return share[genes].sum() if share.sum() > 0 else 1.0


def true_variance(variance: np.ndarray, num_cells: int) -> np.ndarray:
    r"""Returns the variance of genes :math:`(G)` without what is left by cancellation where a gene is
    the same in all cells; says so where none varies."""
    variance = np.where(variance <= 1e-12 * variance.max(initial=0.0), 0.0, variance)
    if not variance.any():
        logger.warning("No gene varies between the %d cells: all components are 0", num_cells)
    return variance


def most_variable(variance: np.ndarray, number: int | None) -> np.ndarray:
    r"""Returns which genes vary most :math:`(G')`, in order; all if there is no :obj:`number`."""
    if number is None or number >= len(variance):
        return np.arange(len(variance))
    return np.sort(np.argsort(-variance, kind="stable")[:number])


def log_normalize(counts: sparse.csr_matrix, target: float) -> sparse.csr_matrix:
    r"""Returns :math:`\log(1 + x)` of counts that are scaled to one total for each cell; a cell without
    counts stays zero."""
    totals = _totals(counts)
    factor = np.divide(target, totals, out=np.zeros_like(totals), where=totals > 0)
    values = np.log1p(counts.data * np.repeat(factor, np.diff(counts.indptr)))
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _totals(counts: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).reshape(-1)


def _center(scores: np.ndarray, batch: np.ndarray) -> None:
    if batch.shape != scores.shape[:1]:
        raise ValueError(
            f"'batch' must give one slice for each of the {scores.shape[0]} cells, got shape "
            f"{batch.shape}."
        )
    _, codes = np.unique(batch, return_inverse=True)
    for code in range(int(codes.max()) + 1):
        scores[codes == code] -= scores[codes == code].mean(axis=0)
