r"""The metrics of a classification of cells."""

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score


class Evaluator:
    r"""Scores predicted classes, in the manner of OGB: it names its metrics and its exact input.

    Args:
        classes (list[str]): The class names.
    """

    metrics = ("macro_f1", "accuracy")
    expected_input = "truth and prediction: integer arrays [N] of class numbers, none of them -1"

    def __init__(self, classes: list[str]):
        self.classes = classes

    def eval(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        r"""Returns each metric. The macro-F1 is the mean over the classes that occur in the truth, one
        that was never predicted counting zero."""
        self._check(truth, prediction)
        present = np.unique(truth)
        return {
            "macro_f1": float(
                f1_score(truth, prediction, labels=present, average="macro", zero_division=0)
            ),
            "accuracy": float(accuracy_score(truth, prediction)),
        }

    def confusion(self, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        r"""Counts :math:`(C, C)` of cells by true and predicted class."""
        self._check(truth, prediction)
        return confusion_matrix(truth, prediction, labels=np.arange(len(self.classes)))

    def class_f1(self, confusion: np.ndarray) -> dict[str, float]:
        r"""The F1 of each class that occurs in the truth, from counts :math:`(C, C)` of cells by true
        and predicted class."""
        right, total = np.diag(confusion), confusion.sum(axis=1) + confusion.sum(axis=0)
        present = np.flatnonzero(confusion.sum(axis=1))
        return {self.classes[c]: float(2 * right[c] / total[c]) for c in present}

    def _check(self, truth: np.ndarray, prediction: np.ndarray):
        if truth.shape != prediction.shape or truth.ndim != 1 or truth.size == 0:
            raise ValueError(
                f"Got shapes {truth.shape} and {prediction.shape}; expected {self.expected_input}"
            )
        if truth.min() < 0:
            raise ValueError(f"The truth holds unknown labels (-1); expected {self.expected_input}")
