import pytest

from benchmarks.names import names_in, split_names


def test_each_once_and_in_order():
    assert split_names("b, a,b ,c") == ["b", "a", "c"]
    assert names_in("b,a,b", {"a": 1, "b": 2}, "letter") == ["b", "a"]


def test_what_is_unknown():
    with pytest.raises(ValueError, match=r"'pcaa'; did you mean 'pca'\? Known: pca, rings$"):
        names_in("rings,pcaa", ["pca", "rings"], "row")
    with pytest.raises(ValueError, match="^Unknown row 'xyz'; known: pca, rings$"):
        names_in("xyz", ["pca", "rings"], "row")
