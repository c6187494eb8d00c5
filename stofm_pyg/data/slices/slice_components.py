from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from stofm_pyg.data.slices.components import (
    depth_of,
    log_normalize,
    most_variable,
    number_of_components,
    share_of,
    true_variance,
)

# A slice's own standard deviation of a gene has half the say where it has so many cells.
PRIOR_CELLS = 50
# Of so many genes all eigenvectors are found at once, of more the first ones by iteration.
MAX_GENES_FOR_ALL = 1000
CELLS_PER_BLOCK = 4096
# Expression is summed in such parts of one.
UNITS = 2**40


class SliceComponents(NamedTuple):
    r"""Principal components of log-normalised counts that are standardised gene by gene in each slice.
    What shifts or stretches a gene all over a slice, as a batch does, is no part of them.

    Args:
        target (float): The total count that each cell is scaled to.
        share (np.ndarray): The mean share that each gene has of a cell's counts :math:`(G)`.
        deviation (np.ndarray): The standard deviation of each gene within slices :math:`(G)`; zero for
            one that never varies.
        loadings (np.ndarray): The weight of each gene in each component :math:`(G, K)`.
    """

    target: float
    share: np.ndarray
    deviation: np.ndarray
    loadings: np.ndarray

    def transform(self, counts: sparse.csr_matrix, genes: np.ndarray | None = None) -> np.ndarray:
        r"""Returns the components of the cells of one slice :math:`(N, K)`, float64, of mean zero.

        Args:
            counts (csr_matrix): Counts :math:`(N, G')`, cells by genes.
            genes (np.ndarray, optional): Which of the genes the columns are :math:`(G')`; the others
                count as their mean. Without, columns are all genes in order. (default: :obj:`None`)
        """
        starts = range(0, max(1, counts.shape[0]), CELLS_PER_BLOCK)

        def blocks() -> Iterator[sparse.csr_matrix]:
            return (counts[start : start + CELLS_PER_BLOCK] for start in starts)

        return np.concatenate(list(self.transform_blocks(blocks, genes)))

    def transform_blocks(
        self, blocks: Callable[[], Iterable[sparse.csr_matrix]], genes: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        r"""Yields what :meth:`transform` returns for the cells of one slice that come in blocks. They
        are asked for twice; neither blocks nor the order of cells change the result.

        Args:
            blocks (Callable): Returns the counts of the cells, some cells at a time.
            genes (np.ndarray, optional): See :meth:`transform`. (default: :obj:`None`)
        """
        genes = np.arange(len(self.share)) if genes is None else genes
        target, loadings = self.target * share_of(self.share, genes), self.loadings[genes]
        moments = ExactMoments(len(genes))
        for counts in blocks():
            moments.add(log_normalize(counts, target))
        mean, variance = moments.mean_and_variance()
        inverse = _inverse_deviation(moments.num_cells, variance, self.deviation[genes])
        shift = (mean * inverse) @ loadings
        for counts in blocks():
            yield _scaled(log_normalize(counts, target), inverse) @ loadings - shift


class ExactMoments:
    r"""Means and variances of genes, from the expression of cells in any number of blocks. Sums are of
    integers, so that they are the same in whatever order cells come.

    Args:
        num_genes (int): The number of genes :math:`G`.
    """

    def __init__(self, num_genes: int):
        self.num_cells = 0
        # Integers of Python, which never overflow.
        self._sum = np.zeros(num_genes, dtype=object)
        self._squares = np.zeros(num_genes, dtype=object)

    def add(self, expression: sparse.csr_matrix):
        r"""Adds cells :math:`(N, G)`."""
        self.num_cells += expression.shape[0]
        self._sum += _column_sums(expression, expression.data)
        self._squares += _column_sums(expression, expression.data**2)

    def mean_and_variance(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Returns the mean and the variance of each gene :math:`(G)`."""
        scale = UNITS * max(1, self.num_cells)
        mean, squares = (values.astype(np.float64) / scale for values in (self._sum, self._squares))
        return mean, np.maximum(squares - mean**2, 0.0)


def _column_sums(matrix: sparse.csr_matrix, values: np.ndarray) -> np.ndarray:
    units = np.rint(values * UNITS).astype(np.int64)
    parts = sparse.csr_matrix((units, matrix.indices, matrix.indptr), matrix.shape)
    return (parts.T @ np.ones(matrix.shape[0], dtype=np.int64)).astype(object)


def fit_slice_components(
    slices: Sequence[sparse.csr_matrix], num_components: int = 50, top_genes: int | None = None
) -> SliceComponents:
    r"""Finds the principal components of slices, each gene standardised within each of them.

    Args:
        slices (sequence of csr_matrix): The counts of each slice :math:`(N_i, G)`; not changed.
        num_components (int, optional): The number of components. Where there are fewer cells or genes
            there are fewer components, with a warning in the log. (default: :obj:`50`)
        top_genes (int, optional): So many genes, those whose log-normalised expression varies most
            within slices, have a part in the components. (default: :obj:`None`)

    Raises:
        ValueError: There are fewer than two cells, no gene, or no component is asked for.
    """
    num_cells, num_genes = sum(counts.shape[0] for counts in slices), slices[0].shape[1]
    size = number_of_components(num_cells, num_genes, num_components)
    target, share = depth_of(slices)
    expressions = [log_normalize(counts, target) for counts in slices]
    variance = sum(e.shape[0] * mean_variance_axis(e, axis=0)[1] for e in expressions) / num_cells
    variance = true_variance(variance, num_cells)
    loadings, deviation = np.zeros((num_genes, size)), np.sqrt(variance)
    if not variance.any():
        return SliceComponents(target, share, deviation, loadings)

    chosen = most_variable(variance, top_genes)
    covariance = np.zeros((len(chosen), len(chosen)))
    for expression in expressions:
        scaled, mean = standardize(expression[:, chosen], deviation[chosen])
        covariance += (scaled.T @ scaled).toarray() - expression.shape[0] * np.outer(mean, mean)
    values, vectors = _largest(covariance, min(size, len(chosen)))
    found = values > 1e-12 * values[0]  # Beyond the rank of the matrix there is only rounding.
    loadings[np.ix_(chosen, np.flatnonzero(found))] = vectors[:, found]
    return SliceComponents(target, share, deviation, loadings)


def standardize(
    expression: sparse.csr_matrix, deviation: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray]:
    r"""Divides each gene by its standard deviation in a slice, drawn towards that within all slices
    where the slice is small; returns the quotients and their means, which are not taken away, so that
    the matrix stays sparse.

    Args:
        expression (csr_matrix): The expression in the slice :math:`(N, G)`; not changed.
        deviation (np.ndarray): The standard deviation within all slices :math:`(G)`.
    """
    mean, variance = mean_variance_axis(expression, axis=0)
    inverse = _inverse_deviation(expression.shape[0], variance, deviation)
    return _scaled(expression, inverse), mean * inverse


def _inverse_deviation(num_cells: int, variance: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    drawn = (num_cells * variance + PRIOR_CELLS * deviation**2) / (num_cells + PRIOR_CELLS)
    varies = deviation > 0
    return np.where(varies, 1 / np.sqrt(np.where(varies, drawn, 1.0)), 0.0)


def _scaled(expression: sparse.csr_matrix, factor: np.ndarray) -> sparse.csr_matrix:
    values = expression.data * factor[expression.indices]
    return sparse.csr_matrix((values, expression.indices, expression.indptr), expression.shape)


def _largest(matrix: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    # Eigenvalues, the largest first, and vectors, the largest weight of each of which is positive.
    size = len(matrix)
    if size <= MAX_GENES_FOR_ALL or number >= size - 1:
        values, vectors = linalg.eigh(matrix, subset_by_index=[size - number, size - 1])
    else:
        start = np.ones(size)  # Nothing is left to chance.
        values, vectors = sparse.linalg.eigsh(matrix, number, v0=start)
    order = np.argsort(-values)
    values, vectors = values[order], vectors[:, order]
    return values, vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(number)])
