import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.profiles import (
    marker_genes,
    nearest_profile,
    nnls_proportions,
    reference_profiles,
)


def test_profiles_are_means_of_the_cells_of_a_type():
    counts = sparse.csr_matrix(np.array([[1, 0], [3, 2], [10, 10], [7, 7]], dtype=np.float32))
    profiles = reference_profiles(counts, np.array([0, 0, 2, -1]), 3)
    assert profiles.tolist() == [[2, 1], [0, 0], [10, 10]]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_nnls_recovers_exact_mixtures(seed, num_types):
    rng = np.random.default_rng(seed)
    profiles = rng.gamma(0.5, 4.0, size=(num_types, 30)) + 0.01
    share = rng.dirichlet(np.full(num_types, 0.5), 8)
    cells = rng.uniform(1, 30, size=(8, 1))
    found = nnls_proportions(sparse.csr_matrix((share * cells) @ profiles), profiles)
    np.testing.assert_allclose(found, share, atol=1e-6)


def test_nnls_counts_cells_not_counts():
    # One cell of a type with ten times the counts of the other, and three of that.
    profiles = np.array([[10.0, 0.0], [0.0, 100.0]])
    found = nnls_proportions(sparse.csr_matrix([[30.0, 100.0]]), profiles)
    np.testing.assert_allclose(found, [[0.75, 0.25]])


def test_nnls_without_a_profile_or_an_explanation():
    profiles = np.array([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    counts = sparse.csr_matrix([[4.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    found = nnls_proportions(counts, profiles)
    np.testing.assert_allclose(found, [[0.5, 0, 0.5], [0.5, 0, 0.5], [0.5, 0, 0.5]])


def test_the_nearest_profile_is_that_of_the_type_alone_whatever_the_depth():
    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.5, 10.0, size=(4, 50))
    profiles[1] = 0.0  # No cell of this type: never the nearest.
    depth = np.array([[0.1], [1.0], [7.0]])
    found = nearest_profile(sparse.csr_matrix(profiles[[0, 2, 3]] * depth), profiles)
    assert found.tolist() == np.eye(4)[[0, 2, 3]].tolist()
    mostly = 0.9 * profiles[2] + 0.1 * profiles[0]
    assert nearest_profile(sparse.csr_matrix(mostly), profiles).argmax() == 2


def test_markers_are_the_genes_that_no_other_type_has_as_many_of():
    # Gene 0 marks type 0, gene 1 both 0 and 1, gene 2 type 1; gene 3 is everywhere; type 2 has no own.
    cells = np.array([[50, 30, 0, 10], [60, 20, 0, 10], [0, 30, 40, 10], [0, 30, 50, 10], [0, 0, 0, 10]])
    found = marker_genes(sparse.csr_matrix(cells, dtype=np.float32), np.array([0, 0, 1, 1, 2]), 3)
    assert found[0].tolist() == [0]
    assert found[1].tolist() == [2, 1]  # Its share of gene 1 is a little larger than that of type 0.
    assert found[2].tolist() == [3]
    best = marker_genes(sparse.csr_matrix(cells), np.array([0, 0, 1, 1, 2]), 3, number=1)
    assert [genes.tolist() for genes in best] == [[0], [2], [3]]


def test_genes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="The spots have 3 genes, the profiles 2"):
        nnls_proportions(sparse.csr_matrix(np.eye(3)), np.eye(2))
    with pytest.raises(ValueError, match="No cell type has a profile"):
        nearest_profile(sparse.csr_matrix(np.eye(2)), np.zeros((3, 2)))
