from collections.abc import Sequence

import numpy as np
from scipy import sparse

TARGET = 10_000.0


def gene_means(counts: Sequence[sparse.csr_matrix]) -> np.ndarray:
    r"""The mean of each gene :math:`(G)` over the cells of some slices that have it, each cell scaled to
    10,000; one for a gene that no cell has.

    Args:
        counts (sequence of csr_matrix): The counts of each slice :math:`(N, G)`.
    """
    joined = sparse.vstack(counts, format="csr").astype(np.float64)
    totals = np.asarray(joined.sum(axis=1)).reshape(-1)
    joined.data *= np.repeat(TARGET / np.where(totals > 0, totals, 1.0), np.diff(joined.indptr))
    total, number = np.asarray(joined.sum(axis=0)).reshape(-1), np.asarray((joined > 0).sum(axis=0))
    number = number.reshape(-1)
    return np.where(total > 0, total / np.maximum(number, 1), 1.0)
