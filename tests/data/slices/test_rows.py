import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stofm_pyg.data.slices.rows import check_joined, has_slices, slice_rows


def rows_of(values, key="slice"):
    obs = pd.DataFrame({"slice": values}, index=[f"c{i}" for i in range(len(values))])
    return [(name, rows.tolist()) for name, rows in slice_rows(AnnData(obs=obs), key)]


def test_order_of_first_appearance():
    assert rows_of(["b", "a", "b", "c", "a"]) == [("b", [0, 2]), ("a", [1, 4]), ("c", [3])]
    assert rows_of([20, 3, 20]) == [("20", [0, 2]), ("3", [1])]


def test_order_of_categories_without_unused():
    values = pd.Categorical(["b", "a", "b"], categories=["unused", "a", "z", "b"])
    assert rows_of(values) == [("a", [1]), ("b", [0, 2])]


def test_no_key_is_one_slice():
    assert rows_of(["b", "a"], key=None) == [("", [0, 1])]


def test_without_a_column_of_the_default_name_all_cells_are_one_slice():
    obs = pd.DataFrame({"section": ["b", "a"]}, index=["c0", "c1"])
    ((name, rows),) = slice_rows(AnnData(obs=obs), "slice")
    assert (name, rows.tolist()) == ("", [0, 1])
    with pytest.raises(ValueError, match="'Section' is not in 'adata.obs', .* Did you mean 'section'"):
        slice_rows(AnnData(obs=obs), "Section")


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string"])
def test_nullable_columns(dtype):
    values = {"Int64": [2, 1, 2], "boolean": [True, False, True], "string": ["u", "v", "u"]}[dtype]
    names = [str(value) for value in values]
    assert rows_of(pd.array(values, dtype=dtype)) == [(names[0], [0, 2]), (names[1], [1])]
    with pytest.raises(ValueError, match=r"1 of 3 cells have no slice .* row 1\."):
        rows_of(pd.array([values[0], None, values[2]], dtype=dtype))


def test_unknown_key():
    with pytest.raises(ValueError, match="'Slices' is not in 'adata.obs', which holds 'slice'. Did"):
        rows_of(["a"], key="Slices")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_cell_without_slice(missing):
    with pytest.raises(ValueError, match=r"1 of 3 cells have no slice .* row 1\. .*notna"):
        rows_of(["a", missing, "b"])


def side_by_side(gap, num=30, key="slice"):
    """Two slices of a unit square each, the second to the right of the first."""
    pos = np.random.default_rng(0).uniform(0, 1, (2 * num, 2))
    pos[num:, 0] += 1 + gap
    obs = pd.DataFrame({key: ["a"] * num + ["b"] * num}, index=[f"c{i}" for i in range(2 * num)])
    return AnnData(obs=obs), pos


@pytest.mark.parametrize("gap", [5.0, 0.0, -0.1])
def test_joined_slices_are_warned_of(gap, caplog):
    adata, pos = side_by_side(gap)
    check_joined(adata)
    check_joined(adata, pos)
    told = "'adata.obs['slice']' tells 2 slices apart, which become one here: 'slice_key='slice'' keeps"
    assert caplog.text.count(told) == 2


@pytest.mark.parametrize("gap", [-0.5, -1.0])
def test_slices_that_lie_on_one_another_are_refused(gap, caplog):
    adata, pos = side_by_side(gap)
    check_joined(adata)  # It is not known where they lie.
    assert "tells 2 slices apart" in caplog.text
    with pytest.raises(ValueError, match="2 slices apart, of which 'a' and 'b' lie on one another"):
        check_joined(adata, pos)


def test_one_slice_or_another_column_is_joined_without_a_word(caplog):
    adata, pos = side_by_side(-1.0, key="section")
    with caplog.at_level(logging.DEBUG):
        check_joined(adata, pos)
        check_joined(side_by_side(-1.0)[0][:20], pos[:20])
    assert caplog.text == ""
    check_joined(adata, slice_key="section")
    assert "'adata.obs['section']' tells 2 slices apart" in caplog.text
    with pytest.raises(ValueError, match="Pass 'slice_key='section''"):
        check_joined(adata, pos, "section")


@pytest.mark.parametrize("text", ["nan", "", "NA", "<NA>"])
def test_text_that_stands_for_no_slice(text):
    with pytest.raises(ValueError) as error:
        rows_of(["a", text, "b"])
    assert str(error.value) == (
        f"1 of 3 cells have no slice in 'adata.obs['slice']', the first in row 1. Leave them out: "
        f"'adata = adata[adata.obs['slice'] != {text!r}]'."
    )


def cells(height, column=None):
    adata = AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(len(height))]))
    adata.obsm["spatial"] = np.stack([np.arange(len(height)), np.zeros(len(height)), height], axis=1)
    if column is not None:
        adata.obs["z"] = column
    return adata


def test_planes_rise():
    adata = cells([30.0, 10.0, 30.0, 10.0, 2.5, 2.5])
    assert has_slices(adata, "z") and not has_slices(adata, "z", "other")
    rows = [(name, part.tolist()) for name, part in slice_rows(adata, "z")]
    assert rows == [("2.5", [4, 5]), ("10.0", [1, 3]), ("30.0", [0, 2])]
    with pytest.raises(ValueError, match="'z' is not in 'adata.obs'"):
        slice_rows(adata, "z", "other")


def test_a_column_of_planes_comes_first():
    adata = cells([1.0, 1.0, 1.0, 1.0], column=[20, 3, 20, 3])
    assert [(name, part.tolist()) for name, part in slice_rows(adata, "z")] == [
        ("3", [1, 3]),
        ("20", [0, 2]),
    ]
    adata.obs["z"] = ["top", "low", "top", "low"]
    assert [name for name, _ in slice_rows(adata, "z")] == ["top", "low"]


def test_heights_that_are_no_planes():
    with pytest.raises(ValueError, match="'z' has 6 values for 6 cells, which lie in no planes. Round"):
        slice_rows(cells(np.arange(6.0)), "z")


@pytest.mark.parametrize("make", [lambda values: pd.Series(values, dtype=object).array, pd.Categorical])
def test_equal_names_of_different_types_are_one_slice(make):
    assert rows_of(make([1, "1", 2, 1])) == [("1", [0, 1, 3]), ("2", [2])]


def test_a_column_that_is_there_twice_is_refused():
    obs = pd.DataFrame([["a", "b"], ["a", "b"]], index=["c0", "c1"], columns=["slice", "slice"])
    for function in (lambda adata: slice_rows(adata, "slice"), check_joined):
        with pytest.raises(ValueError, match="2 columns of 'adata.obs' are called 'slice'"):
            function(AnnData(obs=obs))
