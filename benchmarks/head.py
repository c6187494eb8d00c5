r"""The classifier on top of frozen embeddings, the same for every method."""

import logging

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.splits import Fold, cell_labels

log = logging.getLogger(__name__)


def predict_folds(slices, label: str, embeddings: list[np.ndarray], folds: list[Fold], classes):
    r"""Predicts the test cells of every fold by a logistic regression on its training cells.

    Args:
        slices (sequence of Data): The slices.
        label (str): The key of the labels.
        embeddings (list[np.ndarray]): The embedding of each slice's cells :math:`(N, D)`.
        folds (list[Fold]): The folds.
        classes (list[str]): The class names, for warnings.

    Returns:
        The predicted classes of each slice's cells :math:`(N)`, -1 where none was asked for.
    """
    truth = [cell_labels(data, label) for data in slices]
    prediction = [np.full(t.size, -1) for t in truth]
    for fold in folds:
        y = np.concatenate([truth[i][rows] for i, rows in fold.train.items()])
        x = np.concatenate([embeddings[i][rows] for i, rows in fold.train.items()])
        absent = np.setdiff1d(truth[fold.slice][fold.test], y)
        if absent.size > 0:
            log.warning(
                "No training cell of slice %s's fold has %s; such cells count as errors",
                slices[fold.slice].name,
                ", ".join(f"'{classes[c]}'" for c in absent),
            )
        prediction[fold.slice][fold.test] = _predict(x, y, embeddings[fold.slice][fold.test])
    return prediction


def _predict(x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    if np.unique(y).size == 1:  # A logistic regression needs two classes; one leaves no choice.
        return np.full(len(x_test), y[0])
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return head.fit(x, y).predict(x_test)
