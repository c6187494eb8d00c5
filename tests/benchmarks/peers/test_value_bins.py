import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.peers._value_bins import value_bins


def bins_of(*values, num_bins=51):
    return value_bins(sparse.csr_matrix([values]), num_bins).toarray()[0].tolist()


def test_quantiles_of_what_is_not_zero():
    # Edges of five bins are the quantiles 0, 1/3, 2/3 and 1 of 1 to 7: 1, 3, 5 and 7.
    assert bins_of(0, 1, 2, 3, 4, 5, 6, 7, num_bins=5) == [0, 1, 1, 2, 2, 3, 3, 4]
    # One value has all edges, and goes to the middle.
    assert bins_of(0, 3.0, 0) == [0, 25, 0]
    assert bins_of(0, 0) == [0, 0]


def test_stored_zeros_are_none():
    counts = sparse.csr_matrix((np.array([0.0, 2.0]), [0, 1], [0, 2]), shape=(1, 2))
    assert value_bins(counts).toarray().tolist() == [[0, 25]]
    assert counts.nnz == 2


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(3, 60))
def test_bins_rise_with_values_and_agree_with_numpy(values, num_bins):
    values = np.array(values, dtype=float)
    found = np.array(bins_of(*values, num_bins=num_bins))
    assert ((found == 0) == (values == 0)).all() and found.max() < num_bins
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    some = values[values > 0]
    if some.size:
        edges = np.quantile(some, np.linspace(0, 1, num_bins - 1))
        inside = np.array([min(abs(value - edges)) > 1e-9 for value in some])
        np.testing.assert_array_equal(found[values > 0][inside], np.digitize(some, edges)[inside])
