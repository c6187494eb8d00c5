import pytest

from stofm_pyg.data.gene_index import GeneIndex
from stofm_pyg.data.match_names import match_names
from stofm_pyg.data.orthologues import Orthologues

GENES = ["ENSG00000128683", "ENSG00000172116", "ENSG00000164458"]
INDEX = GeneIndex(GENES, dict(zip(["GAD1", "CD8B", "TBXT"], GENES, strict=True)))
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


def match(names, table=TABLE, index=INDEX, own=GENES):
    return match_names(names, index, set(own), lambda: table)


def refuse():
    raise AssertionError("orthologues were read")


def test_human_names_need_no_orthologues():
    names = ["GAD1", "cd8b", "ENSG00000164458.3", "NOPE", ""]
    found = match_names(names, INDEX, set(GENES), refuse)
    assert found.genes == [*GENES, None, None]
    assert (found.naming, found.species, found.num_genes) == ("symbol", "human", 3)


def test_mouse_symbols():
    found = match(["Gad1", "Cd8b1", "T", "Nope"])
    assert found.genes == [*GENES, None] and found.species == "mouse"
    assert found.by_table == ["Cd8b1", "T"] and found.by_upper_case == ["Gad1"]


def test_an_orthologue_outside_the_vocabulary_is_no_reason_for_upper_case():
    index = GeneIndex(GENES, {"GONE": GENES[0]})
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
    index = GeneIndex(["Gad1", "Cd8b1"], {})
    assert match_names(["Cd8b1", "Gad1"], index, {"Gad1", "Cd8b1"}, refuse).genes == ["Cd8b1", "Gad1"]


def test_no_names():
    found = match([])
    assert (found.genes, found.naming, found.species) == ([], "symbol", "human")
