r"""Correlations of the columns of two matrices."""

import numpy as np
from scipy.stats import rankdata

# What varies by less than this share of its size is constant but for rounding.
TOLERANCE = 1e-6


def pearson_columns(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    r"""Pearson's correlation of each column of two matrices :math:`(N, D)`, as :math:`(D)`: zero where
    the prediction is constant, NaN where the truth is and there is nothing to predict."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (truth, prediction))
    same_a, same_b = _constant(a), _constant(b)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    nothing = same_a | same_b
    out = np.where(nothing, 0.0, (a * b).sum(axis=0) / np.where(nothing, 1.0, size))
    out[same_a] = np.nan
    return out


def spearman_columns(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    r"""Spearman's correlation of each column, as :meth:`pearson_columns` gives Pearson's; equal values
    share their mean rank."""
    a, b = np.asarray(truth, dtype=np.float64), np.array(prediction, dtype=np.float64)
    b[:, _constant(b)] = 0.0  # Rounding would have ranks of its own.
    return pearson_columns(rankdata(a, axis=0), rankdata(b, axis=0))


def _constant(x: np.ndarray) -> np.ndarray:
    return np.ptp(x, axis=0) <= TOLERANCE * np.abs(x).max(axis=0)
