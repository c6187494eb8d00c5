import numpy as np
import pytest

from benchmarks.evaluator import Evaluator


def test_metrics_of_a_hand_computed_case():
    truth = np.array([0, 0, 1, 1, 1, 2])
    prediction = np.array([0, 1, 1, 1, 0, 3])
    scores = Evaluator(["a", "b", "c", "d"]).eval(truth, prediction)
    # Class a: precision 1/2, recall 1/2. Class b: 2/3, 2/3. Class c is never predicted.
    assert scores["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert scores["accuracy"] == pytest.approx(3 / 6)


def test_classes_that_do_not_occur_in_the_truth_do_not_count():
    scores = Evaluator(["a", "b", "c"]).eval(np.array([0, 1]), np.array([0, 1]))
    assert scores == {"macro_f1": 1.0, "accuracy": 1.0}


def test_confusion_counts_by_true_and_predicted_class():
    matrix = Evaluator(["a", "b", "c"]).confusion(np.array([0, 0, 2]), np.array([0, 1, 1]))
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


def test_input_that_is_not_as_expected_is_refused():
    evaluator = Evaluator(["a", "b"])
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        evaluator.eval(np.array([0, 1]), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="unknown labels"):
        evaluator.eval(np.array([0, -1]), np.array([0, 1]))
