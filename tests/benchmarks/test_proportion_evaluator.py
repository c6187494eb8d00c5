import numpy as np
import pytest

from benchmarks.proportion_evaluator import ProportionEvaluator

TYPES = ["a", "b"]


def test_metrics_of_a_hand_computed_case():
    truth = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    prediction = np.array([[0.0, 1.0], [0.5, 0.5], [0.0, 1.0]])
    scores = ProportionEvaluator(TYPES).eval(truth, prediction)
    # Of both types: deviations (1/2, 0, -1/2) and (-1/6, 1/3, -1/6), whose products add up to 0.
    assert scores["pearson"] == pytest.approx(0.0, abs=1e-12)
    assert scores["rmse"] == pytest.approx(np.sqrt((1 + 1) / 6))
    # A spot with nothing in common has a divergence of one bit.
    assert scores["jensen_shannon"] == pytest.approx(1 / 3)


def test_a_perfect_prediction():
    truth = np.random.default_rng(0).dirichlet(np.ones(2), 20)
    scores = ProportionEvaluator(TYPES).eval(truth, truth)
    assert scores == pytest.approx({"pearson": 1.0, "rmse": 0.0, "jensen_shannon": 0.0}, abs=1e-12)
    assert tuple(scores) == ProportionEvaluator.metrics


def test_jensen_shannon_by_hand():
    truth, prediction = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    want = (np.log2(1 / 0.75) + 0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25)) / 2
    assert ProportionEvaluator(TYPES).eval(truth, prediction)["jensen_shannon"] == pytest.approx(want)


def test_types_whose_share_is_constant_do_not_count_and_constant_predictions_are_zero():
    truth = np.array([[0.2, 0.8, 0.0], [0.8, 0.2, 0.0], [0.5, 0.5, 0.0]])
    prediction = np.array([[0.2, 0.5, 0.3], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1]])
    evaluator = ProportionEvaluator(["a", "b", "c"])
    of_class = evaluator.per_class(truth, prediction)
    assert of_class["a"] == pytest.approx(1.0) and np.isnan(of_class["c"])
    assert evaluator.eval(truth, prediction)["pearson"] == pytest.approx((1 + of_class["b"]) / 2)
    mean = np.tile(truth.mean(axis=0), (3, 1))
    assert evaluator.eval(truth, mean)["pearson"] == 0.0


@pytest.mark.parametrize(
    ("truth", "prediction", "told"),
    [
        (np.ones((2, 2)) / 2, np.ones((3, 2)) / 2, r"\(2, 2\) and \(3, 2\)"),
        (np.ones(2) / 2, np.ones(2) / 2, "expected truth and prediction: float arrays"),
        (np.ones((2, 3)) / 3, np.ones((2, 3)) / 3, "3 columns for 2 cell types"),
        (np.ones((2, 2)) / 2, np.array([[0.5, 0.5], [0.9, 0.3]]), "Row 1 of the prediction .* 1.2"),
        (np.array([[1.5, -0.5]]), np.array([[0.5, 0.5]]), "Row 0 of the truth"),
        (np.array([[0.5, 0.5]]), np.array([[np.nan, 0.5]]), "Row 0 of the prediction"),
    ],
)
def test_input_that_is_not_as_expected_is_refused(truth, prediction, told):
    with pytest.raises(ValueError, match=told):
        ProportionEvaluator(TYPES).eval(truth, prediction)
