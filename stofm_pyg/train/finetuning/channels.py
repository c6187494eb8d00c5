import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MAX_ITERATIONS = 500
NUM_FOLDS, NUM_REGIONS = 5, 20
# So many cells are enough to compare, and what is simpler is taken unless another is better by so much.
MAX_CELLS, LEAST_GAIN = 6000, 0.005


def choose_channels(
    choices: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int = 0
) -> str:
    r"""Chooses the channels that a logistic regression tells classes by, from their macro-F1 on groups
    of cells that it has not seen.

    Args:
        choices (dict): The channels :math:`(C_k)` of each choice by name, the first one preferred.
        x (np.ndarray): All channels :math:`(N, C)`.
        y (np.ndarray): The classes :math:`(N)`.
        groups (np.ndarray): The group of each cell :math:`(N)`: slices, or regions of one, since
            neighbours are alike.
        seed (int, optional): The seed of the choice of cells where there are more than 6,000.
            (default: :obj:`0`)

    Returns:
        The name of the choice.
    """
    first = next(iter(choices))
    if len(y) > MAX_CELLS:
        some = np.sort(np.random.default_rng(seed).choice(len(y), MAX_CELLS, replace=False))
        x, y, groups = x[some], y[some], groups[some]
    number = min(NUM_FOLDS, np.unique(groups).size)
    if len(choices) == 1 or number < 2:
        return first
    folds = list(GroupKFold(number).split(x, y, groups))
    folds = [fold for fold in folds if np.unique(y[fold[0]]).size > 1]
    if not folds:
        return first
    scores = {
        name: np.mean([_score(x[:, channels], y, train, test) for train, test in folds])
        for name, channels in choices.items()
    }
    best = max(scores, key=scores.get)
    return best if scores[best] > scores[first] + LEAST_GAIN else first


def regions_of(pos: np.ndarray, seed: int = 0) -> np.ndarray:
    r"""Divides places :math:`(N, 2)` into up to twenty regions; returns that of each :math:`(N)`."""
    number = min(NUM_REGIONS, len(np.unique(pos, axis=0)))
    return KMeans(number, n_init=1, random_state=seed).fit_predict(pos)


def _score(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
    found = head.fit(x[train], y[train]).predict(x[test])
    present = np.unique(y[test])
    return f1_score(y[test], found, labels=present, average="macro", zero_division=0)
