import pytest

from stofm_pyg.data.gene_index import GeneIndex

INDEX = GeneIndex(
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
