import importlib
import logging

import anndata
import numpy as np
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy import sparse

from stofm_pyg.data.genes.vocab import GeneVocab
from stofm_pyg.data.tokens.tokenizer import RankValueTokenizer, TokenReport


def test_in_words():
    report = TokenReport(17136, 305, 306, 2, 31, 2048, 66.5, "Names: human.")
    assert str(report) == (
        "17,136 cells, 305 genes of the vocabulary in 306 columns; 2 cells have none of these genes, "
        "31 truncated at 2,048 tokens, median length 66.5. Names: human."
    )


module = importlib.import_module("stofm_pyg.data.tokens.tokenizer")
ranking = importlib.import_module("stofm_pyg.data.tokens.ranking")

# Genes of a panel, two of which are not in the vocabulary, and the tokens by another order.
NAMES = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]
TOKENS = {"AAA": 5, "BBB": 3, "CCC": 4, "EEE": 2}
MEDIANS = {"AAA": 1.0, "BBB": 2.0, "CCC": 0.5, "EEE": 4.0}
CLS = 6
COUNTS = [
    [1, 2, 3, 9, 4, 0],  # 1, 1, 6, 1: equal values by token
    [0, 0, 0, 7, 0, 1],  # nothing in the vocabulary
    [0, 0, 0, 0, 0, 0],
    [3, 1, 0, 0, 40, 2],  # 3, 0.5, 10
]
EXPECTED = [[CLS, 4, 2, 3, 5], [CLS], [CLS], [CLS, 2, 5, 3]]
FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


@pytest.fixture
def vocab():
    return GeneVocab(TOKENS, MEDIANS)


def make_adata(counts=COUNTS, make=sparse.csr_matrix, names=NAMES, dtype=np.float32, **kwargs):
    adata = AnnData(make(np.array(counts, dtype=dtype)), **kwargs)
    adata.var_names = names
    return adata


def lists(tokens):
    return [cell.tolist() for cell in tokens]


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_known_tokens_from_any_matrix(vocab, make, dtype, tmp_path, monkeypatch):
    tokenizer = RankValueTokenizer(vocab)
    adata = make_adata(make=make, dtype=dtype)
    tokens = tokenizer(adata)
    assert lists(tokens) == EXPECTED
    assert tokens.fingerprint == vocab.fingerprint
    assert lists(tokenizer(adata[[3, 0]])) == [EXPECTED[3], EXPECTED[0]]

    path = tmp_path / "counts.h5ad"
    adata.write_h5ad(path)
    for rows in (1, 3, 100):
        monkeypatch.setattr(module, "CELLS_PER_BLOCK", rows)
        assert lists(tokenizer(path)) == EXPECTED
    backed = anndata.read_h5ad(path, backed="r")
    assert lists(tokenizer(backed)) == EXPECTED and backed.isbacked
    assert lists(tokenizer(backed[[3, 1]])) == [EXPECTED[3], EXPECTED[1]]
    backed.file.close()


def test_layers(vocab):
    adata = make_adata(np.log1p(COUNTS), layers={"counts": sparse.csr_matrix(COUNTS)})
    tokenizer = RankValueTokenizer(vocab)
    assert lists(tokenizer(adata, layer="counts")) == EXPECTED
    with pytest.raises(ValueError, match="'count' is not in 'adata.layers'.*mean 'counts'"):
        tokenizer(adata, layer="count")


def test_values_are_of_the_total_over_all_columns(vocab):
    tokenizer = RankValueTokenizer(vocab, target_sum=1000)
    tokens, values = tokenizer(make_adata(), return_values=True)
    assert lists(tokens) == EXPECTED and values.dtype == torch.float32
    inf = float("inf")
    first = [inf, 1000 / 19 * 6, 1000 / 19, 1000 / 19, 1000 / 19]
    last = [inf, 1000 / 46 * 10, 1000 / 46 * 3, 1000 / 46 * 0.5]
    np.testing.assert_allclose(values.numpy(), [*first, inf, inf, *last], rtol=1e-6)
    short = RankValueTokenizer(vocab, 2, 1000, add_cls=False)
    tokens, values = short(make_adata(), return_values=True)
    assert lists(tokens) == [[4, 2], [], [], [2, 5]]
    np.testing.assert_allclose(values.numpy(), [*first[1:3], *last[1:3]], rtol=1e-6)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_truncated_with_and_without_cls(vocab, limit):
    tokens, report = RankValueTokenizer(vocab, limit)(make_adata(), return_report=True)
    assert lists(tokens) == [cell[:limit] for cell in EXPECTED]
    assert report.num_truncated == sum(len(cell) > limit for cell in EXPECTED)
    bare, report = RankValueTokenizer(vocab, limit, add_cls=False)(make_adata(), return_report=True)
    assert lists(bare) == [cell[1:][:limit] for cell in EXPECTED]
    assert report.num_truncated == sum(len(cell) - 1 > limit for cell in EXPECTED)
    assert report.num_without_genes == 2


def test_the_report_and_the_log(vocab, caplog):
    tokenizer = RankValueTokenizer(vocab, max_length=4)
    with caplog.at_level(logging.INFO, logger="stofm_pyg"):
        tokens, values, report = tokenizer(make_adata(), return_values=True, return_report=True)
    assert len(values) == tokens.tokens.numel() == 10
    assert (report.num_cells, report.num_genes, report.num_columns) == (4, 4, 4)
    assert (report.num_without_genes, report.num_truncated, report.median_length) == (2, 1, 2.5)
    assert report.mapping in str(report)
    assert str(report) in caplog.text
    assert "2 of 4 cells have no count of a gene in the vocabulary" in caplog.text
    caplog.clear()
    RankValueTokenizer(vocab)(make_adata()[[0, 3]])
    assert caplog.text == ""  # Nothing to warn of.


def test_columns_of_one_gene_add_up(vocab):
    names = ["AAA", "BBB", "aaa", "DDD", "EEE", "AAA"]
    adata = make_adata([[1, 2, 1, 5, 4, 3], [0, 0, 2, 0, 0, 0], [0, 0, 0, 1, 0, 0]], names=names)
    tokens, values, report = RankValueTokenizer(vocab)(adata, return_values=True, return_report=True)
    assert lists(tokens) == [[CLS, 5, 2, 3], [CLS, 5], [CLS]]
    assert values[1] == 10_000 / 16 * 5
    assert (report.num_genes, report.num_columns) == (3, 5)


def reference(counts, tokens, medians, max_length, cls):
    """Cell by cell, as the definition says."""
    out = []
    for row in counts:
        expressed = [gene for gene in range(len(row)) if row[gene] > 0]
        ranked = sorted(expressed, key=lambda gene: (-row[gene] / medians[gene], tokens[gene]))
        out.append((cls + [tokens[gene] for gene in ranked])[:max_length])
    return out


# Among them counts that are no int32, and medians that make equal values of different counts.
count = st.sampled_from([0] * 6 + [1, 1, 1, 2, 2, 3, 5, 17, 300, 5000, 2**24, 2**31, 2**40])
median = st.sampled_from([0.1, 0.3, 1.0, 1.0, 2.0, 3.0, 5.0, 1 / 3, 1.7e3])


@settings(max_examples=60)
@given(data=st.data())
def test_agrees_with_the_definition(data):
    num_genes, known = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    known = min(known, num_genes)
    row = st.lists(count, min_size=num_genes, max_size=num_genes)
    counts = np.array(data.draw(st.lists(row, max_size=12)), dtype=np.float64)
    counts = counts.reshape(-1, num_genes)
    names = data.draw(st.permutations([f"GENE{i}" for i in range(num_genes)]))
    tokens = data.draw(st.permutations(range(2, 2 + known)))
    medians = data.draw(st.lists(median, min_size=known, max_size=known))
    in_vocab = [f"GENE{i}" for i in range(known)]
    vocab = GeneVocab(
        dict(zip(in_vocab, tokens, strict=True)), dict(zip(in_vocab, medians, strict=True))
    )
    limit, add_cls = data.draw(st.integers(1, 6)), data.draw(st.booleans())
    adata = make_adata(counts, names=names)
    mapping = vocab.map(adata, min_share=0.0)

    columns = [names.index(name) for name in in_vocab]
    cls = [vocab.cls_token_id] if add_cls else []
    expected = reference(counts[:, columns], tokens, medians, limit, cls)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "VALUES_PER_CHUNK", data.draw(st.integers(1, 40)))
        patch.setattr(ranking, "VALUES_PER_BLOCK", data.draw(st.integers(1, 40)))
        patch.setattr(ranking, "NARROW_BITS", data.draw(st.sampled_from([1, 24, 30])))
        patch.setattr(ranking, "_table_bits", lambda counts: bits)
        bits = data.draw(st.integers(1, 6))
        tokenizer = RankValueTokenizer(vocab, limit, add_cls=add_cls)
        try:
            torch.set_num_threads(data.draw(st.integers(1, 2)))
            assert lists(tokenizer(adata, mapping=mapping)) == expected
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_many_cells_in_many_chunks(threads, monkeypatch):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 2.0, size=40), size=(500, 40))
    counts[rng.random(500) < 0.1] = 0
    names = [f"GENE{i}" for i in range(40)]
    tokens = (2 + rng.permutation(30)).tolist()
    medians = rng.choice([0.5, 1.0, 2.0, 3.3], size=30).tolist()
    vocab = GeneVocab(
        dict(zip(names[:30], tokens, strict=True)), dict(zip(names[:30], medians, strict=True))
    )
    monkeypatch.setattr(ranking, "VALUES_PER_CHUNK", 200)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        result = RankValueTokenizer(vocab, 9)(make_adata(counts, names=names))
    finally:
        torch.set_num_threads(before)
    assert lists(result) == reference(counts[:, :30].tolist(), tokens, medians, 9, [32])


def test_no_cells_and_no_counts(vocab):
    tokenizer = RankValueTokenizer(vocab)
    assert len(tokenizer(make_adata()[:0])) == 0
    assert lists(tokenizer(make_adata(np.zeros((2, 6))))) == [[CLS], [CLS]]


def test_counts_stay_sparse_and_as_they_are(vocab, monkeypatch):
    adata = make_adata()
    before = adata.X.copy()

    def refuse(self, *args, **kwargs):
        raise MemoryError(f"{self.shape} made dense")

    with monkeypatch.context() as patch:
        for name in ("toarray", "todense"):
            patch.setattr(sparse.csr_matrix, name, refuse)
        assert lists(RankValueTokenizer(vocab)(adata)) == EXPECTED
    assert (adata.X != before).nnz == 0
    assert list(adata.obs) == list(adata.var) == list(adata.uns) == []


@pytest.mark.parametrize("rows", [2, 100])
def test_what_is_no_count_is_named(vocab, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CELLS_PER_BLOCK", rows)
    adata = make_adata()
    adata.obs_names = [f"cell{i}" for i in range(4)]
    adata.X = adata.X.copy()
    adata.X[3, 4] = 2.5
    path = tmp_path / "normalised.h5ad"
    adata.write_h5ad(path)
    for source in (adata, path):
        with pytest.raises(ValueError) as error:
            RankValueTokenizer(vocab)(source)
        message = str(error.value)
        assert "Expected counts in 'adata.X', found 1 fractional values" in message
        assert "2.5 in cell 'cell3' (number 3) and gene 'EEE' (number 4)" in message
        assert "Pass 'layer=' with the layer that holds raw counts" in message
    adata.layers["norm"] = adata.X
    adata.X = sparse.csr_matrix(np.array(COUNTS, dtype=np.float32))
    with pytest.raises(ValueError, match=r"Expected counts in 'adata.layers\['norm'\]'"):
        RankValueTokenizer(vocab)(adata, layer="norm")


def test_a_mapping_of_other_columns_is_refused(vocab):
    mapping = vocab.map(make_adata())
    other = make_adata(np.array(COUNTS)[:, :4], names=NAMES[:4])
    with pytest.raises(ValueError, match="'mapping' was made for 6 columns, 'adata' has 4"):
        RankValueTokenizer(vocab)(other, mapping=mapping)


def test_no_gene_matches(vocab):
    adata = make_adata(names=[f"X{i}" for i in range(6)])
    with pytest.raises(ValueError, match="0 of 6 genes .* are in the vocabulary"):
        RankValueTokenizer(vocab)(adata)


def test_wrong_settings(vocab):
    with pytest.raises(ValueError, match="'max_length' must be at least 1, got 0"):
        RankValueTokenizer(vocab, max_length=0)
    for target in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"'target_sum' must be a positive number, got {target}"):
            RankValueTokenizer(vocab, target_sum=target)


def test_repr(vocab):
    assert str(RankValueTokenizer(vocab, 512)) == (
        f"RankValueTokenizer({vocab}, max_length=512, target_sum=10000, add_cls=True)"
    )


@pytest.mark.realdata
def test_the_golden_tokens(real_slices, golden, real_vocab):
    expected = load_file(golden / "tokens.safetensors")
    tokenizer = RankValueTokenizer(GeneVocab.from_geneformer(real_vocab), add_cls=False)
    adata = anndata.read_h5ad(real_slices / "xenium_breast_roi.h5ad")
    tokens, values, report = tokenizer(adata[:200], return_values=True, return_report=True)
    assert report.num_genes == 305
    assert tokens.ptr.tolist() == expected["token_ptr"].tolist()
    np.testing.assert_allclose(values.numpy(), expected["values"], rtol=1e-6)

    # The value of each of their tokens is that of ours in the same place, so that at most tokens of
    # equal value are in another order; ours are by token.
    ours, theirs = tokens.tokens.numpy(), expected["tokens"]
    cell = np.repeat(np.arange(200), tokens.lengths.numpy())
    places = np.lexsort((ours, cell)), np.lexsort((theirs, cell))
    assert np.array_equal(ours[places[0]], theirs[places[1]])
    of_theirs = np.empty_like(values.numpy())
    of_theirs[places[1]] = values.numpy()[places[0]]
    np.testing.assert_allclose(of_theirs, values.numpy(), rtol=1e-6)
    assert np.array_equal(ours, ours[np.lexsort((ours, -values.numpy(), cell))])

    full = RankValueTokenizer(tokenizer.vocab, 512)(adata[:200])
    assert full[5].tolist() == [25426, *tokens[5].tolist()]


def test_a_mapping_is_that_of_the_names_of_the_columns(vocab):
    adata = make_adata()
    mapping = vocab.map(adata)
    order = np.random.default_rng(0).permutation(adata.n_vars)
    other = adata[:, order].copy()
    tokenizer = RankValueTokenizer(vocab)
    assert lists(tokenizer(other, mapping=mapping)) == lists(tokenizer(other))
    same = mapping.for_columns(other.var_names)
    assert (np.diff(same.columns) > 0).all()
    assert list(other.var_names[same.columns]) == sorted(
        adata.var_names[mapping.columns], key=list(other.var_names).index
    )
    assert same.for_columns(adata.var_names).columns.tolist() == mapping.columns.tolist()
    other.var_names = [f"{name}x" if i == 2 else name for i, name in enumerate(other.var_names)]
    with pytest.raises(ValueError) as error:
        RankValueTokenizer(vocab)(other, mapping=mapping)
    assert "'mapping' have other names than 'adata.var_names'" in str(error.value)
    assert repr(other.var_names[2]) in str(error.value) and "vocab.map(adata)" in str(error.value)
