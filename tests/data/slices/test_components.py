import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import expression_pca
from stofm_pyg.data.slices import components as module
from stofm_pyg.data.slices.components import fit_components, log_normalize


def random_counts(num_cells=40, num_genes=12, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.0, 2.0, size=(3, num_genes))[rng.integers(0, 3, size=num_cells)]
    return sparse.csr_matrix(rng.poisson(rate).astype(np.float32))


def dense_pca(counts, size, scale=False):
    """The same steps, written out on a dense matrix."""
    counts = counts.toarray().astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    target = np.median(totals[totals > 0])
    x = np.log1p(np.divide(counts * target, totals, out=np.zeros_like(counts), where=totals > 0))
    if scale:
        std = x.std(axis=0)
        x = x / np.where(std > 0, std, 1.0)
    x = x - x.mean(axis=0)
    _, _, vt = np.linalg.svd(x, full_matrices=False)
    vt = vt[:size]
    vt = vt * np.sign(vt[np.arange(size), np.abs(vt).argmax(axis=1)])[:, None]
    return x @ vt.T


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("max_genes", [1000, 5])  # Through the covariance, or by iteration.
def test_agrees_with_the_same_steps_on_a_dense_matrix(scale, max_genes, monkeypatch):
    monkeypatch.setattr(module, "MAX_GENES_FOR_COVARIANCE", max_genes)
    counts = random_counts()
    scores = expression_pca(counts, 6, scale=scale)
    assert scores.dtype == np.float32 and scores.shape == (40, 6)
    np.testing.assert_allclose(scores, dense_pca(counts, 6, scale), atol=1e-5)


def test_counts_are_not_changed():
    counts = random_counts()
    before = counts.copy()
    expression_pca(counts, 3, scale=True)
    assert (counts != before).nnz == 0 and counts.dtype == np.float32


def test_never_makes_the_counts_dense(monkeypatch):
    monkeypatch.setattr(module, "MAX_GENES_FOR_COVARIANCE", 5)

    def refuse(self, *args, **kwargs):
        raise MemoryError(f"{self.shape} made dense")

    for name in ("toarray", "todense"):
        monkeypatch.setattr(sparse.csr_matrix, name, refuse)
    assert expression_pca(random_counts(), 3, scale=True).shape == (40, 3)


def test_centred_per_slice():
    counts, batch = random_counts(), np.array([7] * 10 + [2] * 30)
    scores, joint = expression_pca(counts, 4, batch=batch), expression_pca(counts, 4)
    for code in (2, 7):
        part = batch == code
        expected = joint[part] - joint[part].mean(axis=0)
        np.testing.assert_allclose(scores[part], expected, atol=1e-5)
    assert np.abs(joint[batch == 7].mean(axis=0)).max() > 1e-2


def test_batch_of_another_length():
    with pytest.raises(ValueError, match=r"each of the 40 cells, got shape \(39,\)"):
        expression_pca(random_counts(), 4, batch=np.zeros(39))


def test_cell_without_counts_and_gene_without_counts():
    counts = random_counts().tolil()
    counts[5], counts[:, 3] = 0, 0
    counts = counts.tocsr()
    scores = expression_pca(counts, 6, scale=True)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, dense_pca(counts, 6, scale=True), atol=1e-5)


def test_depth_does_not_count():
    counts = random_counts()
    deeper = counts.copy()
    deeper.data = deeper.data * np.repeat(np.arange(1, 41), np.diff(deeper.indptr))
    depths = [np.median(np.asarray(matrix.sum(axis=1))) for matrix in (counts, deeper)]
    scaled = counts * float(depths[1] / depths[0])
    np.testing.assert_allclose(expression_pca(deeper, 5), expression_pca(scaled, 5), atol=1e-5)


@pytest.mark.parametrize("shape, size", [((5, 12), 4), ((40, 3), 3)])
def test_small_matrix_has_fewer_components(shape, size, caplog):
    with caplog.at_level(logging.WARNING):
        scores = expression_pca(random_counts(*shape), 50)
    assert scores.shape == (shape[0], size)
    assert f"have {size} principal components, 50 were asked for" in caplog.text


@pytest.mark.parametrize("max_genes", [1000, 5])
def test_beyond_the_rank_is_exactly_zero(max_genes, monkeypatch):
    monkeypatch.setattr(module, "MAX_GENES_FOR_COVARIANCE", max_genes)
    two_kinds = sparse.csr_matrix(np.tile(np.eye(2, 8, dtype=np.float32) * 3 + 1, (10, 1)))
    scores = expression_pca(two_kinds, 4)
    assert np.abs(scores[:, 0]).min() > 0.1 and not scores[:, 1:].any()


def test_no_gene_varies(caplog):
    with caplog.at_level(logging.WARNING):
        scores = expression_pca(sparse.csr_matrix(np.full((9, 4), 3.0)), 2)
    assert scores.shape == (9, 2) and not scores.any()
    assert "No gene varies between the 9 cells" in caplog.text


@pytest.mark.parametrize("num_components, shape", [(0, (9, 4)), (2, (1, 4)), (2, (9, 0))])
def test_errors(num_components, shape):
    with pytest.raises(ValueError, match="at least"):
        expression_pca(sparse.csr_matrix(shape, dtype=np.float32), num_components)


@given(seed=st.integers(0, 1000), iterate=st.booleans())
@settings(max_examples=15)
def test_order_of_cells_does_not_count(seed, iterate):
    counts = random_counts(30, 10, seed)
    order = np.random.default_rng(seed).permutation(30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_GENES_FOR_COVARIANCE", 5 if iterate else 1000)
        scores, permuted = expression_pca(counts, 3), expression_pca(counts[order], 3)
        assert np.array_equal(scores, expression_pca(counts, 3))
    np.testing.assert_allclose(permuted, scores[order], atol=1e-4)


def test_components_of_the_cells_that_they_were_found_on():
    counts = random_counts()
    components = fit_components(counts, 6)
    np.testing.assert_allclose(components.transform(counts), dense_pca(counts, 6), atol=1e-8)
    assert components.loadings.shape == (12, 6) and components.share.sum() == pytest.approx(1)
    np.testing.assert_allclose(components.loadings.T @ components.loadings, np.eye(6), atol=1e-8)


@given(seed=st.integers(0, 1000), scale=st.booleans())
@settings(max_examples=10)
def test_another_cell_lies_where_its_twin_does(seed, scale):
    counts = random_counts(30, 10, seed)
    components = fit_components(counts, 4, scale=scale)
    some = np.random.default_rng(seed).integers(0, 30, 12)
    want = components.transform(counts)[some]
    np.testing.assert_allclose(components.transform(counts[some]), want, atol=1e-10)


@given(seed=st.integers(0, 1000), scale=st.booleans())
@settings(max_examples=10)
def test_the_order_of_genes_does_not_count(seed, scale):
    counts = random_counts(30, 10, seed)
    components = fit_components(counts, 4, scale=scale)
    order = np.random.default_rng(seed).permutation(10)
    scores = components.transform(counts[:, order], order)
    np.testing.assert_allclose(scores, components.transform(counts), atol=1e-10)


@given(seed=st.integers(0, 1000), scale=st.booleans())
@settings(max_examples=10)
def test_missing_genes_count_as_their_mean(seed, scale):
    counts = random_counts(30, 10, seed)
    components = fit_components(counts, 4, scale=scale)
    genes = np.random.default_rng(seed).permutation(10)[:6]
    # The genes at hand are scaled to the share that they have of a cell on average.
    expression = np.tile(components.mean, (30, 1))
    share = components.share[genes].sum()
    expression[:, genes] = log_normalize(counts[:, genes], components.target * share).toarray()
    want = (expression - components.mean) @ components.loadings
    np.testing.assert_allclose(components.transform(counts[:, genes], genes), want, atol=1e-10)


def test_a_cell_of_average_composition_stays_there_without_some_genes():
    rng = np.random.default_rng(0)
    depth, profile = rng.integers(500, 5000, 30), rng.integers(1, 9, 10)
    noise = rng.integers(0, 2, (30, 10))
    counts = sparse.csr_matrix((depth[:, None] * profile + noise).astype(np.float32))
    components = fit_components(counts, 3)
    genes = np.array([8, 1, 4, 3, 6, 0])
    whole = components.transform(counts)
    part = components.transform(counts[:, genes], genes)
    # However deep it was read: nothing is left but the noise.
    assert np.abs(part).max() < 0.01 and np.abs(whole).max() < 0.01


def test_the_most_variable_genes_alone_have_a_part():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (80, 12)).astype(np.float32)
    counts[:, [2, 7, 9]] *= rng.integers(1, 6, (80, 1))  # What varies most in these three is shared.
    counts = sparse.csr_matrix(counts)
    chosen = module.fit_components(counts, 3, top_genes=3)
    assert np.flatnonzero(np.abs(chosen.loadings).sum(axis=1)).tolist() == [2, 7, 9]
    assert chosen.mean.shape == (12,) and chosen.share.sum() == pytest.approx(1.0)
    everything = module.fit_components(counts, 3, top_genes=12)
    np.testing.assert_allclose(everything.loadings, module.fit_components(counts, 3).loadings)
