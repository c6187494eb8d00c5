import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from benchmarks.speed.tokenize_loop import tokenize_loop
from stofm_pyg.data.genes.vocab import GeneVocab


@pytest.fixture
def vocab():
    return GeneVocab({"AAA": 5, "BBB": 3, "CCC": 4}, {"AAA": 1.0, "BBB": 2.0, "CCC": 0.5})


def make_adata(names):
    adata = AnnData(sparse.csr_matrix(np.array([[1, 3, 9, 1], [0, 0, 7, 0], [0, 0, 0, 0]], np.float32)))
    adata.var_names = names
    return adata


def test_known_tokens(vocab):
    adata = make_adata(["AAA", "BBB", "DDD", "CCC"])
    mapping = vocab.map(adata)
    assert tokenize_loop(adata.X, mapping, 9) == [[9, 4, 3, 5], [9], [9]]
    assert tokenize_loop(adata.X, mapping, 9, max_length=2) == [[9, 4], [9], [9]]


def test_columns_of_one_gene_are_refused(vocab):
    adata = make_adata(["AAA", "BBB", "DDD", "aaa"])
    with pytest.raises(ValueError, match="3 columns are 2 genes"):
        tokenize_loop(adata.X, vocab.map(adata), 9)
