"""Tokens are what the definition says, written anew."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data import GeneVocab, RankValueTokenizer
from tests.fuzz.profile import examples
from tests.fuzz.strategies import GENES, adatas

MEDIANS = st.sampled_from((0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 1e-3, 17.0))


@examples(0.15)
@given(
    adatas(min_cells=1, max_cells=100),
    st.lists(st.sampled_from(GENES), unique=True, min_size=1),
    st.lists(MEDIANS, min_size=len(GENES), max_size=len(GENES)),
    st.integers(1, 14),
    st.booleans(),
)
def test_tokens_are_those_of_the_definition(given_, known, medians, max_length, add_cls):
    adata, _ = given_
    token = {gene: 2 + number for number, gene in enumerate(known)}
    median = dict(zip(known, medians, strict=False))
    vocab = GeneVocab(token, median)
    mapping = vocab.map(adata, min_share=0.0)
    found = RankValueTokenizer(vocab, max_length, add_cls=add_cls)(adata, mapping=mapping)
    dense = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    assert found.num_cells == adata.n_obs
    for cell in range(adata.n_obs):
        values = {gene: float(dense[cell, GENES.index(gene)]) / median[gene] for gene in known}
        present = [gene for gene in known if values[gene] > 0]
        ranked = sorted(present, key=lambda gene: (-values[gene], token[gene]))
        wanted = [vocab.cls_token_id] * add_cls + [token[gene] for gene in ranked]
        start, end = found.ptr[cell : cell + 2].tolist()
        assert found.tokens[start:end].tolist() == wanted[:max_length]
