r"""The head from a frozen embedding to proportions, the same for every method."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0)
# Of so many runs of rows, those that a penalty is chosen on.
NUM_RUNS, HELD_OUT = 10, (2, 7)
MIN_ROWS = 50


class ProportionHead:
    r"""A softmax regression, whose targets are proportions

    .. math::
        \min_{W, b} - \sum_i p_i^\top \log \mathrm{softmax}(W z_i + b) + \frac{\lambda}{2} \| W \|^2

    of standardised embeddings :math:`z`: of spots that are all of one type, it is a logistic
    regression.

    The penalty falls as long as that lowers the loss of a fifth of the training spots that is then not
    learned from: two runs of rows, since most slices hold their spots in the order of places, and one
    whose neighbours are learned from tells little.

    Args:
        penalties (sequence of float, optional): The penalties :math:`\lambda` to choose from, falling.
            With fewer than 50 spots the first one of 10 or less is taken.
            (default: :obj:`(100.0, 30.0, 10.0, 3.0, 1.0)`)
    """

    def __init__(self, penalties: Sequence[float] = PENALTIES):
        if not penalties or min(penalties) <= 0 or list(penalties) != sorted(penalties, reverse=True):
            raise ValueError(f"'penalties' must be positive and falling (got {list(penalties)})")
        self.penalties = tuple(penalties)

    def fit(self, x: np.ndarray, proportions: np.ndarray) -> "ProportionHead":
        r"""Learns from embeddings :math:`(N, D)` and proportions :math:`(N, T)`; a type that occurs in
        no spot gets none of any."""
        x = np.asarray(x, dtype=np.float64)
        self.mean, deviation = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(deviation > 1e-8, deviation, 1.0)
        z = (x - self.mean) / self.scale
        self.there = proportions.any(axis=0)
        target = proportions[:, self.there]
        self.penalty, start = self._choose(z, target)
        self.weight = _minimise(z, target, self.penalty, start)
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        r"""The proportions of spots :math:`(N, T)`."""
        z = (np.asarray(x, dtype=np.float64) - self.mean) / self.scale
        out = np.zeros((len(z), len(self.there)))
        out[:, self.there] = softmax(z @ self.weight[:-1] + self.weight[-1], axis=1)
        return out

    def _choose(self, z: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray | None]:
        if len(self.penalties) == 1 or len(z) < MIN_ROWS:
            few = [penalty for penalty in self.penalties if penalty <= 10.0]
            return (few or self.penalties[-1:])[0], None
        held_out = np.isin(np.arange(len(z)) * NUM_RUNS // len(z), HELD_OUT)
        best, chosen, weight, kept = np.inf, self.penalties[0], None, None
        for penalty in self.penalties:
            weight = _minimise(z[~held_out], target[~held_out], penalty, weight)
            loss = -(target[held_out] * _log_shares(z[held_out], weight)).sum()
            if loss >= best:
                break
            best, chosen, kept = loss, penalty, weight
        return chosen, kept


def _log_shares(z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return log_softmax(z @ weight[:-1] + weight[-1], axis=1)


def _minimise(
    z: np.ndarray, target: np.ndarray, penalty: float, start: np.ndarray | None = None
) -> np.ndarray:
    # The weights, below them the biases [D + 1, T]; begins at those of a neighbouring problem.
    shape = (z.shape[1] + 1, target.shape[1])

    def loss(flat):
        weight = flat.reshape(shape)
        log_p = _log_shares(z, weight)
        error = np.exp(log_p) * target.sum(axis=1, keepdims=True) - target
        value = 0.5 * penalty * (weight[:-1] ** 2).sum() - (target * log_p).sum()
        slope = np.concatenate([z.T @ error + penalty * weight[:-1], [error.sum(axis=0)]])
        return value / len(z), slope.ravel() / len(z)

    if start is None:
        start = np.zeros(shape)
        start[-1] = np.log(np.maximum(target.mean(axis=0), 1e-6))
    options = {"maxiter": 500, "ftol": 1e-8, "gtol": 1e-5}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(shape)
