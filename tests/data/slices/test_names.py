import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data.slices.names import missing_values, name_hashes, rows_by_name

NAMES = st.lists(st.text(max_size=5), min_size=1, max_size=30, unique=True)


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_missing_values(dtype):
    none, some = [None, "nan", "", " NA ", "<NA>", "None"], ["NANOG", "-1", "na_1"]
    assert missing_values(pd.Series(none + some, dtype=dtype)).tolist() == [True] * 6 + [False] * 3


def test_numbers_are_missing_where_they_are_none():
    assert missing_values(pd.Series([1.0, np.nan, -1.0])).tolist() == [False, True, False]
    assert missing_values(pd.Series(pd.array([1, None], dtype="Int64"))).tolist() == [False, True]
    assert missing_values(pd.Series([], dtype=object)).tolist() == []


@given(NAMES)
def test_hashes_tell_names_apart(names):
    hashes = name_hashes(pd.Index(names, dtype=object))
    assert hashes.dtype == np.int64 and (hashes >= 0).all()
    assert len(set(hashes.tolist())) == len(names)
    assert np.array_equal(name_hashes(pd.Index(names, dtype="string")), hashes)


def test_hashes_stay_what_they_are():
    # They lie in files of slices.
    names = pd.Index(["cell0", "AAAC-1"])
    assert name_hashes(names).tolist() == [8011795984055242691, 8412538666485350103]


@given(NAMES, st.randoms(use_true_random=False))
def test_rows_by_name(names, random):
    wanted = random.sample(names, len(names))
    rows = rows_by_name(pd.Index(names), pd.Index(wanted), "Rows", "cells", "")
    rows = range(len(names)) if rows is None else rows
    assert [names[row] for row in rows] == wanted
    assert rows_by_name(pd.Index(names), pd.Index(names), "Rows", "cells", "") is None
