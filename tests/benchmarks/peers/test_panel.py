import numpy as np
import pytest
from scipy import sparse

from benchmarks.peers._gene_means import gene_means
from benchmarks.peers.panel import panel_vocab, variable_genes


def test_a_vocabulary_keeps_the_order_of_genes():
    vocab = panel_vocab(["B", "A", "C"])
    assert vocab.token_ids == {"B": 3, "A": 4, "C": 5}
    assert (vocab.pad_token_id, vocab.mask_token_id, vocab.cls_token_id, len(vocab)) == (0, 1, 2, 6)


def test_the_genes_that_vary_most():
    rng = np.random.default_rng(0)
    steady, moving = np.full((50, 1), 20.0), rng.permutation(np.repeat([0.0, 40.0], 25))[:, None]
    counts = sparse.csr_matrix(np.hstack([steady, moving, steady, moving[::-1]]))
    assert variable_genes([counts[:30], counts[30:]], 2).tolist() == [1, 3]
    assert variable_genes([counts], None).tolist() == [0, 1, 2, 3]
    assert variable_genes([counts], 9).tolist() == [0, 1, 2, 3]


def test_means_of_the_cells_that_have_a_gene():
    counts = [[[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]]
    found = gene_means([sparse.csr_matrix(part) for part in counts])
    assert found == pytest.approx([(2500 + 10_000) / 2, 7500, 1])
