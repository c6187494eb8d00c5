import gzip
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.read_orthologue_table import read_orthologue_table

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
def test_symbols(tmp_path, text, pairs):
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
