import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stofm_pyg.data.slices.rows import slice_rows


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


def test_unknown_key():
    with pytest.raises(ValueError, match="'Slices' is not in 'adata.obs', which holds 'slice'. Did"):
        rows_of(["a"], key="Slices")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_cell_without_slice(missing):
    with pytest.raises(ValueError, match=r"1 of 3 cells have no slice .* row 1\. .*notna"):
        rows_of(["a", missing, "b"])
