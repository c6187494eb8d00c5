import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.proportion_head import ProportionHead


def test_of_spots_of_one_type_it_is_a_logistic_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)) * [1, 5, 0.1, 2] + 3
    labels = (x @ rng.normal(size=(4, 3))).argmax(axis=1)
    labels[::7] = 1
    z = StandardScaler().fit_transform(x)
    want = LogisticRegression(C=1 / 4, max_iter=1000, tol=1e-8).fit(z, labels).predict_proba(z)
    found = ProportionHead([4.0]).fit(x, np.eye(3)[labels]).predict(x)
    np.testing.assert_allclose(found, want, atol=2e-3)


def test_learns_mixtures_that_are_a_softmax_of_the_embedding():
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(600, 5)), rng.normal(size=(5, 3))
    shares = softmax(x @ weight, axis=1)
    head = ProportionHead().fit(x[:400], shares[:400])
    found = head.predict(x[400:])
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert np.abs(found - shares[400:]).max() < 0.05
    assert head.penalty == 1.0


def test_noise_gets_the_largest_penalty_and_little_more_than_the_mean():
    rng = np.random.default_rng(2)
    x, shares = rng.normal(size=(200, 40)), rng.dirichlet(np.ones(3), 200)
    head = ProportionHead().fit(x, shares)
    assert head.penalty == 100.0
    assert np.abs(head.predict(rng.normal(size=(50, 40))) - shares.mean(axis=0)).max() < 0.2


def test_a_type_without_a_spot_and_a_dead_dimension():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(80, 2)), np.full((80, 1), 7.0)], axis=1)
    shares = np.zeros((80, 4))
    shares[:, [0, 2]] = rng.dirichlet(np.ones(2), 80)
    found = ProportionHead().fit(x, shares).predict(x)
    assert np.isfinite(found).all()
    assert (found[:, [1, 3]] == 0).all()


def test_few_spots_have_the_usual_penalty():
    head = ProportionHead().fit(np.arange(20.0)[:, None], np.eye(2)[np.arange(20) % 2])
    assert head.penalty == 10.0


def test_penalties_that_are_none_are_refused():
    for penalties in ([], [0.0], [1.0, 2.0], [-1.0]):
        with pytest.raises(ValueError, match="positive and falling"):
            ProportionHead(penalties)
