r"""Cell types of held-out slices from frozen cell embeddings."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.evaluator import Evaluator


def annotate_slices(
    embedding: np.ndarray,
    labels: np.ndarray,
    slices: np.ndarray,
    classes: Sequence[str],
    max_train: int | None = None,
    seed: int = 0,
) -> list[dict[str, float]]:
    r"""Holds out each slice in turn; a logistic regression on the other slices, as in
    :obj:`benchmarks/head.py`, names its cells.

    Args:
        embedding (np.ndarray): The embeddings :math:`(N, D)`.
        labels (np.ndarray): The class of each cell :math:`(N)`, -1 where it is not known.
        slices (np.ndarray): The slice of each cell :math:`(N)`.
        classes (sequence of str): The class names.
        max_train (int, optional): The largest number of training cells, a random choice.
            (default: :obj:`None`)
        seed (int, optional): The seed of that choice. (default: :obj:`0`)

    Returns:
        The metrics of each slice that has labels, in the order of the slices.
    """
    rng = np.random.default_rng(seed)
    scores = []
    for which in np.unique(slices[labels >= 0]):
        train = np.flatnonzero((labels >= 0) & (slices != which))
        test = np.flatnonzero((labels >= 0) & (slices == which))
        if train.size == 0:
            raise ValueError("Two slices with labels are needed, one to learn from and one to test on")
        if max_train is not None and train.size > max_train:
            train = np.sort(rng.choice(train, max_train, replace=False))
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        prediction = head.fit(embedding[train], labels[train]).predict(embedding[test])
        scores.append(Evaluator(list(classes)).eval(labels[test], prediction))
    return scores
