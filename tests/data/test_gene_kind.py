import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.gene_kind import gene_kind

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
