r"""How well slices mix in an embedding."""

import numpy as np

from benchmarks.clusters import nearest_rows

PERPLEXITY, TRIALS, TOLERANCE = 30, 50, 1e-5


def ilisi(x: np.ndarray, batch: np.ndarray) -> np.ndarray:
    r"""The local inverse Simpson's index of slices around each cell :math:`(N)`, the effective number of
    slices among its neighbours (`Korsunsky et al. 2019 <https://doi.org/10.1038/s41592-019-0619-0>`_):

    .. math::
        1 / \sum_b p_b^2

    where :math:`p_b` is the share of slice :math:`b` among the nearest 90 cells, with weights that fall
    with distance, of perplexity 30. It lies between one, none but the cell's own slice, and the number
    of slices.

    Args:
        x (np.ndarray): The embeddings of the cells of all slices :math:`(N, D)`.
        batch (np.ndarray): The number of the slice of each :math:`(N)`.
    """
    near = nearest_rows(x, 3 * PERPLEXITY)
    perplexity = min(PERPLEXITY, near.shape[1] / 3)
    distance = np.stack([np.linalg.norm(x[rows] - x[i], axis=1) for i, rows in enumerate(near)])
    weight = _weights(distance, np.log(perplexity))
    share = np.stack([(weight * (batch[near] == b)).sum(axis=1) for b in np.unique(batch)], axis=1)
    return 1 / (share**2).sum(axis=1)


def _weights(distance: np.ndarray, entropy: float) -> np.ndarray:
    # The width of each Gaussian by bisection, so that its entropy is the one asked for.
    distance = distance - distance.min(axis=1, keepdims=True)  # Changes no weight, and none vanishes.
    low, high = np.zeros(len(distance)), np.full(len(distance), np.inf)
    beta = 1 / np.maximum(distance.mean(axis=1), 1e-12)
    for _ in range(TRIALS):
        weight = np.exp(-distance * beta[:, None])
        weight /= weight.sum(axis=1, keepdims=True)
        miss = -(weight * np.log(np.maximum(weight, 1e-300))).sum(axis=1) - entropy
        if np.abs(miss).max() < TOLERANCE:
            break
        low, high = np.where(miss > 0, beta, low), np.where(miss > 0, high, beta)
        beta = np.where(np.isinf(high), beta * 2, (low + np.where(np.isinf(high), 0, high)) / 2)
    return weight
