import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from benchmarks.correlation import pearson_columns, spearman_columns


def test_columns_are_correlated_one_by_one():
    rng = np.random.default_rng(0)
    truth, prediction = rng.normal(size=(2, 30, 4))
    prediction[:10, 2] = 0.0  # Equal values share a rank.
    for function, one in ((pearson_columns, pearsonr), (spearman_columns, spearmanr)):
        want = [one(truth[:, k], prediction[:, k])[0] for k in range(4)]
        np.testing.assert_allclose(function(truth, prediction), want, atol=1e-12)


def test_by_hand():
    truth = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 10.0]])
    prediction = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    # Of the second column: deviations (-10/3, -7/3, 17/3) and (-1, 0, 1).
    want = 9 / np.sqrt((100 + 49 + 289) / 9 * 2)
    assert pearson_columns(truth, prediction) == pytest.approx([-1, want])
    assert spearman_columns(truth, prediction) == pytest.approx([-1, 1])


@pytest.mark.parametrize("function", [pearson_columns, spearman_columns])
def test_a_constant_prediction_is_zero_and_a_constant_truth_unknown(function):
    varies, constant = np.arange(5.0)[:, None], np.full((5, 1), 0.1)
    nearly = constant + 1e-9 * np.arange(5)[:, None]
    assert function(varies, constant).tolist() == [0.0]
    assert function(varies, nearly).tolist() == [0.0]  # Only rounding varies.
    assert np.isnan(function(constant, varies)).all()
    assert np.isnan(function(constant, constant)).all()
    assert function(varies, np.zeros((5, 1))).tolist() == [0.0]
