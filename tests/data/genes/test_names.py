import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.genes.names import (
    GeneIndex,
    column_names,
    gene_kind,
    match_names,
    without_genome,
)
from stofm_pyg.data.genes.orthologues import Orthologues

SYMBOLS = {
    "GAD1": "human",
    "HLA-DRB1": "human",
    "C1orf112": "human",
    "CXorf40A": "human",
    "AC073621.1": "human",
    "MT.CO1": "human",
    "7SK": "human",
    "Gad1": "mouse",
    "H2-Aa": "mouse",
    "mt-Nd1": "mouse",
    "0610009B22Rik": "mouse",
    "Nkx2.1": "mouse",
    "T": "",
    "gad1": "",
    "": "",
}


@pytest.mark.parametrize("symbol, species", SYMBOLS.items())
def test_symbols(symbol, species):
    assert gene_kind(symbol) == (symbol, "symbol", species)


@pytest.mark.parametrize(
    "name, expected",
    [
        ("ENSG00000128683", ("ENSG00000128683", "ensembl", "human")),
        ("ENSG00000128683.14", ("ENSG00000128683", "ensembl with version", "human")),
        ("ENSMUSG00000070880.12", ("ENSMUSG00000070880", "ensembl with version", "mouse")),
        ("ENSG00000182378.15_PAR_Y", ("ENSG00000182378", "ensembl with version", "human")),
        ("ENSGR0000182378", ("ENSGR0000182378", "ensembl", "human")),
        (" ensg00000128683 ", ("ENSG00000128683", "ensembl", "human")),
    ],
)
def test_ensembl_ids(name, expected):
    assert gene_kind(name) == expected


@pytest.mark.parametrize("name", ["ENSG", "ENSDARG00000027419", "ENSG00000128683x", "ENSG12"])
def test_other_names_are_symbols(name):
    assert gene_kind(name)[:2] == (name, "symbol")


@given(
    species=st.sampled_from(["human", "mouse"]),
    number=st.integers(0, 10**11 - 1),
    version=st.none() | st.integers(0, 99),
)
def test_any_ensembl_id(species, number, version):
    gene = f"{'ENSG' if species == 'human' else 'ENSMUSG'}{number:011d}"
    naming = "ensembl" if version is None else "ensembl with version"
    assert gene_kind(gene if version is None else f"{gene}.{version}") == (gene, naming, species)


@given(st.text())
def test_any_text_has_a_kind(name):
    kind = gene_kind(name)
    assert kind.naming in ("symbol", "ensembl", "ensembl with version")
    assert kind.species in ("human", "mouse", "")


def make_index(genes, symbols):
    """An index with tokens from 2 on and medians from 1 on."""
    token_ids = {gene: 2 + i for i, gene in enumerate(genes)}
    return GeneIndex(token_ids, {gene: 1.0 + i for i, gene in enumerate(genes)}, symbols)


INDEX = make_index(
    ["ENSG1", "ENSG2", "ENSG3", "ENSG4", "Own"],
    {"MT-CO1": "ENSG1", "C1orf112": "ENSG2", "Abc": "ENSG3", "ABC": "ENSG4", "Own": "ENSG1"},
)


@pytest.mark.parametrize(
    "name, gene",
    [
        ("ENSG1", "ENSG1"),
        ("MT-CO1", "ENSG1"),
        ("mt-Co1", "ENSG1"),
        ("MT.CO1", "ENSG1"),
        ("mt.co1", "ENSG1"),
        ("C1ORF112", "ENSG2"),
        ("Abc", "ENSG3"),
        ("ABC", "ENSG4"),
        ("abc", None),  # Two genes.
        ("Own", "Own"),  # A gene comes before a symbol.
        ("MT_CO1", None),
        ("", None),
    ],
)
def test_find(name, gene):
    assert INDEX.find(name) == gene


def test_an_index_carries_tokens_and_medians():
    gene = INDEX.find("mt.co1")
    assert (INDEX.token_ids[gene], INDEX.medians[gene]) == (2, 1.0)


GENES = ["ENSG00000128683", "ENSG00000172116", "ENSG00000164458"]
MATCH_INDEX = make_index(GENES, dict(zip(["GAD1", "CD8B", "TBXT"], GENES, strict=True)))
TABLE = Orthologues(
    [
        ("Cd8b1", "ENSG00000000000"),  # Not in the vocabulary: the next one is taken.
        ("Cd8b1", "CD8B"),
        ("T", "ENSG00000164458"),
        ("ENSMUSG00000070880", "ENSG00000128683"),
        ("Gone", "ENSG00000000000"),
    ],
    {},
)


def match(names, table=TABLE, index=MATCH_INDEX):
    return match_names(names, index, lambda: table)


def refuse():
    raise AssertionError("orthologues were read")


def test_human_names_need_no_orthologues():
    names = ["GAD1", "cd8b", "ENSG00000164458.3", "NOPE", ""]
    found = match_names(names, MATCH_INDEX, refuse)
    assert found.genes == [*GENES, None, None]
    assert (found.naming, found.species, found.num_genes) == ("symbol", "human", 3)


def test_mouse_symbols():
    found = match(["Gad1", "Cd8b1", "T", "Nope"])
    assert found.genes == [*GENES, None] and found.species == "mouse"
    assert found.by_table == ["Cd8b1", "T"] and found.by_upper_case == ["Gad1"]


def test_an_orthologue_outside_the_vocabulary_is_no_reason_for_upper_case():
    index = make_index(GENES, {"GONE": GENES[0]})
    assert match(["Gone", "Xyz"], index=index).genes == [None, None]


def test_a_letter_belongs_to_the_species_of_the_others():
    assert match(["T", "GAD1", "CD8B"]).genes == [None, *GENES[:2]]


@pytest.mark.parametrize("version", ["", ".7"])
def test_mouse_ensembl_ids(version):
    names = [f"ENSMUSG00000070880{version}", f"ENSMUSG00000000001{version}"]
    found = match(names)
    assert found.genes == [GENES[0], None] and found.species == "mouse"
    assert found.naming == ("ensembl with version" if version else "ensembl")
    assert found.by_table == names[:1] and found.by_upper_case == []


def test_ids_tell_their_species_among_others():
    found = match(["GAD1", "CD8B", "ENSMUSG00000070880"])
    assert found.genes == [GENES[0], GENES[1], GENES[0]]
    assert (found.species, found.naming, found.num_genes) == ("human", "symbol", 2)


def test_a_vocabulary_of_mouse_genes_needs_no_orthologues():
    index = make_index(["Gad1", "Cd8b1"], {})
    assert match_names(["Cd8b1", "Gad1"], index, refuse).genes == ["Cd8b1", "Gad1"]


def test_no_names():
    found = match([])
    assert (found.genes, found.naming, found.species) == ([], "symbol", "human")


def make():
    var = pd.DataFrame(
        {
            "gene_ids": ["ENSG1", None, " ENSG3 "],
            "kind": pd.Categorical(["b", "a", "b"]),
            "length": [1, 2, 3],
            "genome": ["GRCh38"] * 3,
        },
        index=["A", "B", "C"],
    )
    return AnnData(np.ones((2, 3)), var=var)


def test_var_names_and_columns_of_text():
    assert column_names(make()) == {
        "adata.var_names": ["A", "B", "C"],
        "adata.var['gene_ids']": ["ENSG1", "", "ENSG3"],
        "adata.var['kind']": ["b", "a", "b"],
    }


def test_one_column():
    assert column_names(make(), "length") == {"adata.var['length']": ["1", "2", "3"]}


def test_unknown_column():
    with pytest.raises(ValueError, match="Did you mean 'gene_ids'"):
        column_names(make(), "gene_id")


@pytest.mark.parametrize("genome", ["GRCh38", "mm10__", "hg19", "GRCm39", "GRCh38.p13", "rn6"])
def test_one_genome_before_all_names(genome):
    names = ["TP53", "MT-CO1", "HLA-A", "H2-K1"]
    found, genomes = without_genome([f"{genome}_{name}" for name in names])
    assert (found, genomes) == (names, [genome.rstrip("_")])


def test_names_match_behind_a_genome():
    index = GeneIndex({"ENSG00000141510": 3}, {"ENSG00000141510": 1.0}, {"TP53": "ENSG00000141510"})
    match = match_names(["GRCh38_TP53", "GRCh38_ACTB"], index, lambda: Orthologues({}))
    assert match.genes == ["ENSG00000141510", None] and match.species == "human"
    assert match.names == ["GRCh38_TP53", "GRCh38_ACTB"]


def test_several_genomes_or_none():
    for names, genomes in [
        (["GRCh38_TP53", "mm10___Trp53"], ["GRCh38", "mm10"]),
        (["GRCh38_TP53", "ERCC-00002"], []),
        (["TP53", "Trp53"], []),
        (["MMP1", "RN7SK", "HG_1"], []),
        ([], []),
    ]:
        assert without_genome(names) == (names, genomes)
