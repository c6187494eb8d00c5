import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data.slices import slice_components as module
from stofm_pyg.data.slices.components import log_normalize
from stofm_pyg.data.slices.slice_components import fit_slice_components, standardize


def random_slices(num_genes=10, sizes=(30, 20), seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.uniform(0.5, 6, num_genes)
    return [sparse.csr_matrix(rng.poisson(mean, (n, num_genes)).astype(np.float32)) for n in sizes]


def standardized(counts, components, genes=slice(None)):
    # As the class says it, of dense numbers.
    share = components.share[genes].sum()
    y = log_normalize(counts, components.target * share).toarray()
    own = (len(y) * y.var(axis=0) + 50 * components.deviation[genes] ** 2) / (len(y) + 50)
    return (y - y.mean(axis=0)) / np.sqrt(own)


@given(seed=st.integers(0, 1000), iterate=st.booleans())
@settings(max_examples=20)
def test_components_are_those_of_standardised_genes(seed, iterate):
    slices = random_slices(seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_GENES_FOR_ALL", 5 if iterate else 1000)
        found = fit_slice_components(slices, 3)
    together = np.concatenate([standardized(counts, found) for counts in slices])
    vectors = np.linalg.svd(together, full_matrices=False)[2][:3].T
    np.testing.assert_allclose(np.abs(found.loadings), np.abs(vectors), atol=1e-6)
    scores = np.concatenate([found.transform(counts) for counts in slices])
    np.testing.assert_allclose(scores, together @ found.loadings, atol=1e-10)
    assert (found.loadings[np.abs(found.loadings).argmax(axis=0), range(3)] > 0).all()


def test_depth_and_shares():
    slices = [sparse.csr_matrix([[1.0, 3.0], [0.0, 0.0]]), sparse.csr_matrix([[6.0, 2.0], [5.0, 5.0]])]
    found = fit_slice_components(slices, 1)
    assert found.target == 8.0  # The median of 4, 8 and 10; an empty cell does not count.
    np.testing.assert_allclose(found.share, [(0.25 + 0.75 + 0.5) / 3, (0.75 + 0.25 + 0.5) / 3])


def test_deviation_is_that_within_slices():
    slices = random_slices()
    found = fit_slice_components(slices, 2)
    y = [log_normalize(counts, found.target).toarray() for counts in slices]
    want = np.sqrt((30 * y[0].var(axis=0) + 20 * y[1].var(axis=0)) / 50)
    np.testing.assert_allclose(found.deviation, want)


def test_a_small_slice_is_drawn_towards_all():
    expression = sparse.csr_matrix(np.array([[0.0, 2.0], [2.0, 2.0]]))
    scaled, mean = standardize(expression, np.array([3.0, 0.0]))
    drawn = np.sqrt((2 * 1 + 50 * 9) / 52)
    np.testing.assert_allclose(scaled.toarray(), [[0, 0], [2 / drawn, 0]])
    np.testing.assert_allclose(mean, [1 / drawn, 0])
    assert expression.toarray().tolist() == [[0, 2], [2, 2]]


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_the_order_of_genes_and_cells_does_not_count(seed):
    counts, _ = slices = random_slices(seed=seed)
    found = fit_slice_components(slices, 4)
    rng = np.random.default_rng(seed)
    genes, cells = rng.permutation(10), rng.permutation(30)
    want = found.transform(counts)
    np.testing.assert_allclose(found.transform(counts[:, genes], genes), want, atol=1e-10)
    np.testing.assert_allclose(found.transform(counts[cells]), want[cells], atol=1e-10)


@given(seed=st.integers(0, 1000), size=st.integers(1, 40))
@settings(max_examples=20)
def test_neither_blocks_nor_the_order_of_cells_change_a_bit(seed, size):
    counts, _ = slices = random_slices(seed=seed)
    found = fit_slice_components(slices, 4)
    want, genes = found.transform(counts[:, :7], np.arange(7)), np.arange(7)
    cells = np.random.default_rng(seed).permutation(30)

    def blocks():
        return (counts[cells[i : i + size], :7] for i in range(0, 30, size))

    of_blocks = np.concatenate(list(found.transform_blocks(blocks, genes)))
    np.testing.assert_array_equal(of_blocks, want[cells])


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_missing_genes_count_as_their_mean(seed):
    counts, _ = slices = random_slices(seed=seed)
    found = fit_slice_components(slices, 4)
    genes = np.random.default_rng(seed).permutation(10)[:6]
    want = standardized(counts[:, genes], found, genes) @ found.loadings[genes]
    np.testing.assert_allclose(found.transform(counts[:, genes], genes), want, atol=1e-10)


def test_the_genes_that_vary_most_within_slices():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (80, 12)).astype(np.float32)
    counts[:, [2, 7, 9]] *= rng.integers(1, 6, (80, 1))
    counts[40:, 4] *= 40  # Varies between the slices alone.
    slices = [sparse.csr_matrix(counts[:40]), sparse.csr_matrix(counts[40:])]
    found = fit_slice_components(slices, 3, top_genes=3)
    assert np.flatnonzero(np.abs(found.loadings).sum(axis=1)).tolist() == [2, 7, 9]


def test_fewer_components_than_asked_for(caplog):
    with caplog.at_level(logging.WARNING):
        found = fit_slice_components(random_slices(num_genes=4), 6)
    assert found.loadings.shape == (4, 4)
    assert "50 cells and 4 genes have 4 principal components, 6 were asked for" in caplog.text


def test_beyond_the_rank_there_is_nothing():
    column = np.random.default_rng(0).poisson(5, (30, 1)).astype(np.float32)
    counts = sparse.csr_matrix(np.hstack([column, column, np.full((30, 1), 3.0)]))
    found = fit_slice_components([counts], 3)
    assert (np.abs(found.loadings).sum(axis=0) > 0).tolist()[0] is True
    scores = found.transform(counts)
    assert np.isfinite(scores).all()


def test_nothing_varies(caplog):
    with caplog.at_level(logging.WARNING):
        found = fit_slice_components([sparse.csr_matrix(np.full((5, 3), 2.0))], 2)
    assert not found.loadings.any() and "No gene varies between the 5 cells" in caplog.text
    assert not found.transform(sparse.csr_matrix(np.ones((4, 3)))).any()


@pytest.mark.parametrize(
    ("slices", "number", "message"),
    [
        (random_slices(), 0, "'num_components' must be at least 1, got 0"),
        ([sparse.csr_matrix((1, 3))], 2, "at least two cells and one gene, got 1 cells and 3 genes"),
        ([sparse.csr_matrix((5, 0))], 2, "got 5 cells and 0 genes"),
    ],
)
def test_errors(slices, number, message):
    with pytest.raises(ValueError, match=message):
        fit_slice_components(slices, number)
