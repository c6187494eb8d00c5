from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from stofm_pyg.data import GeneVocab
from stofm_pyg.data.slices.components import log_normalize

PAD, MASK, CLS, FIRST = 0, 1, 2, 3


def panel_vocab(genes: Sequence[str]) -> GeneVocab:
    r"""A vocabulary of some genes in their order, for a peer from scratch that does not rank them: token
    0 is padding, 1 a masked gene, 2 CLS."""
    tokens = {gene: FIRST + number for number, gene in enumerate(genes)}
    return GeneVocab(tokens, dict.fromkeys(genes, 1.0), cls_token_id=CLS)


def variable_genes(counts: Sequence[sparse.csr_matrix], number: int | None) -> np.ndarray:
    r"""Returns the columns, rising, of the genes whose log-normalised expression varies most.

    Args:
        counts (sequence of csr_matrix): The counts of each slice :math:`(N, G)`.
        number (int, optional): The number of genes; :obj:`None` for all.
    """
    joined = sparse.vstack(counts, format="csr").astype(np.float64)
    if number is None or number >= joined.shape[1]:
        return np.arange(joined.shape[1])
    totals = np.asarray(joined.sum(axis=1)).reshape(-1)
    _, variance = mean_variance_axis(log_normalize(joined, float(np.median(totals))), axis=0)
    return np.sort(np.argsort(-variance, kind="stable")[:number])
