import numpy as np
from scipy import sparse

NUM_BINS = 51


def value_bins(counts: sparse.csr_matrix, num_bins: int = NUM_BINS) -> sparse.csr_matrix:
    r"""Returns counts as bins of their own cell, as in `"scGPT"
    <https://doi.org/10.1038/s41592-024-02201-0>`_: zero stays zero, and the values of a cell that are
    not zero fall into the others, one to :obj:`num_bins - 1`, by their quantiles.

    A value that several quantiles share goes to the middle of their bins, where the published code draws
    one of them.

    Args:
        counts (csr_matrix): Counts :math:`(N, G)`.
        num_bins (int, optional): The number of bins. (default: :obj:`51`)

    Returns:
        The bins :math:`(N, G)`, int64, with the zeros left out.
    """
    counts = counts.tocsr(copy=True)
    counts.eliminate_zeros()
    bins = np.empty(counts.nnz, dtype=np.int64)
    shares = np.linspace(0.0, 1.0, num_bins - 1)
    for start, stop in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        if start < stop:
            values = counts.data[start:stop].astype(np.float64)
            edges = np.interp(shares * (stop - start - 1), np.arange(stop - start), np.sort(values))
            below = np.searchsorted(edges, values, side="left")
            at_most = np.searchsorted(edges, values, side="right")
            bins[start:stop] = (below + at_most + 1) // 2
    return sparse.csr_matrix((bins, counts.indices, counts.indptr), shape=counts.shape)
