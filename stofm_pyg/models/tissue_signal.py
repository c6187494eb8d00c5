r"""How much of the expression of cells lies in where they are: measures of slices, whatever they come
from, on the features that models see."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy import sparse

from stofm_pyg.data.slices.components import fit_components, genes_to_take
from stofm_pyg.models.features.spatial_signal import SpatialSignal
from stofm_pyg.transforms.neighbors import nearest_neighbor_spacing, radius_edges
from stofm_pyg.transforms.rings import RINGS, ring_means

# Of fewer cells, halves say nothing.
SMALLEST = 20


def slice_components(
    counts: Sequence[sparse.csr_matrix], num_components: int = 50, seed: int = 0
) -> list[np.ndarray]:
    r"""Principal components of log-normalised counts with each gene divided by its standard deviation,
    found over all slices and centred in each.

    Args:
        counts (sequence of csr_matrix): The counts of each slice :math:`(N_i, G)`, over the same genes.
        num_components (int, optional): How many. (default: :obj:`50`)
        seed (int, optional): Seed of the solver for many genes. (default: :obj:`0`)

    Returns:
        The components of each slice :math:`(N_i, K)`.
    """
    top = genes_to_take(counts[0].shape[1])
    together = sparse.vstack(counts, format="csr")
    found = fit_components(together, num_components, scale=True, top_genes=top, seed=seed)
    scores = [found.transform(part) for part in counts]
    return [x - x.mean(axis=0) for x in scores]


def moran(features: Sequence[np.ndarray], positions: Sequence[np.ndarray]) -> np.ndarray:
    r"""The autocorrelation of each feature in space over all slices :math:`(F)`, the highest first, see
    :class:`~stofm_pyg.models.features.SpatialSignal`: Moran's :math:`I`
    (`"Notes on continuous stochastic phenomena" <https://doi.org/10.2307/2332142>`_) with equal weights
    for neighbours up to 2.5 spacings of cells, negative values set to zero.

    Args:
        features (sequence of np.ndarray): The features of each slice :math:`(N_i, F)`, centred.
        positions (sequence of np.ndarray): The positions of its cells :math:`(N_i, 2)`.
    """
    slices = zip(map(torch.as_tensor, features), map(torch.as_tensor, positions), strict=True)
    return np.sort(SpatialSignal(slices).moran.numpy())[::-1]


def spatial_features(
    features: Sequence[np.ndarray], positions: Sequence[np.ndarray]
) -> list[np.ndarray]:
    r"""The features scaled by what they share in space, as models see them
    (:meth:`SpatialSignal.factor <stofm_pyg.models.features.SpatialSignal.factor>`): the noise of single
    cells, which is most of most components, then hides nothing.

    Args:
        features (sequence of np.ndarray): The features of each slice :math:`(N_i, F)`, centred.
        positions (sequence of np.ndarray): The positions of its cells :math:`(N_i, 2)`.
    """
    slices = zip(map(torch.as_tensor, features), map(torch.as_tensor, positions), strict=True)
    factor = SpatialSignal(slices).factor()
    return [x * factor for x in features]


def ring_prediction(features: Sequence[np.ndarray], positions: Sequence[np.ndarray]) -> float:
    r"""The share of the variance of a cell's features that a ridge regression predicts from the means
    over the rings around it (:obj:`~stofm_pyg.transforms.rings.RINGS`), in a part that it was not
    fitted to: each slice in turn, of one slice each of its halves. It is negative where the fit is
    worse than the mean cell, and NaN where a slice has fewer than 20 places. The penalty is the mean
    sum of squares of an input.

    Args:
        features (sequence of np.ndarray): The features of each slice :math:`(N_i, F)`, centred.
        positions (sequence of np.ndarray): The positions of its cells :math:`(N_i, 2)`.
    """
    parts = list(zip(features, positions, strict=True))
    if any(len(np.unique(pos, axis=0)) < SMALLEST for _, pos in parts):
        return float("nan")
    if len(parts) == 1:
        parts = [(x - x.mean(axis=0), pos) for x, pos in _halves(*parts[0])]
    around = [
        ring_means(torch.as_tensor(x), torch.as_tensor(pos), RINGS).flatten(1).numpy()
        for x, pos in parts
    ]
    error = total = 0.0
    for number, (x, _) in enumerate(parts):
        seen = [other for other in range(len(parts)) if other != number]
        inputs = np.concatenate([around[other] for other in seen])
        targets = np.concatenate([parts[other][0] for other in seen])
        error += np.square(x - _ridge(inputs, targets, around[number])).sum()
        total += np.square(x).sum()
    return float(1 - error / total) if total > 0 else 0.0


def _ridge(inputs: np.ndarray, targets: np.ndarray, others: np.ndarray) -> np.ndarray:
    mean, target = inputs.mean(axis=0), targets.mean(axis=0)
    inputs = inputs - mean
    square = inputs.T @ inputs
    # As much as the mean input has of variance: rings share most of theirs, so that less would let the
    # noise of the others in.
    square += max(np.trace(square) / len(square), 1e-12) * np.eye(len(square))
    return (others - mean) @ np.linalg.solve(square, inputs.T @ (targets - target)) + target


def _halves(x: np.ndarray, pos: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    # Cut across the longest direction, which turning the slice does not change.
    centred = pos - pos.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    order = np.argsort(along, kind="stable")
    for rows in np.array_split(order, 2):
        yield x[rows], pos[rows]


def share_between(features: Sequence[np.ndarray], classes: Sequence[np.ndarray]) -> float:
    r"""The share of the variance of all features that lies between the classes of cells, over all
    slices; cells of an unknown class (:obj:`-1`) are left out.

    Args:
        features (sequence of np.ndarray): The features of each slice :math:`(N_i, F)`, centred.
        classes (sequence of np.ndarray): The class of each cell :math:`(N_i)`, whole numbers.
    """
    x, y = np.concatenate(features), np.concatenate(classes)
    x, y = x[y >= 0], y[y >= 0]
    if x.size == 0:
        return float("nan")
    x = x - x.mean(axis=0)
    between = sum((y == one).sum() * np.square(x[y == one].mean(axis=0)).sum() for one in np.unique(y))
    total = np.square(x).sum()
    return float(between / total) if total > 0 else 0.0


def library_sizes(counts: sparse.csr_matrix) -> np.ndarray:
    r"""The number of counts of each cell :math:`(N)`.

    Args:
        counts (csr_matrix): Counts :math:`(N, G)`.
    """
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).reshape(-1)


def genes_per_cell(counts: sparse.csr_matrix) -> np.ndarray:
    r"""The number of genes that were seen in each cell :math:`(N)`.

    Args:
        counts (csr_matrix): Counts :math:`(N, G)`.
    """
    return np.asarray((counts != 0).sum(axis=1)).reshape(-1)


def share_of_zeros(counts: sparse.csr_matrix) -> float:
    r"""The share of cells and genes without a count.

    Args:
        counts (csr_matrix): Counts :math:`(N, G)`.
    """
    return float(1 - np.count_nonzero(counts.data) / max(1, counts.shape[0] * counts.shape[1]))


def degrees(positions: np.ndarray, radius: float = 8.0) -> np.ndarray:
    r"""The number of other cells within a radius of each cell :math:`(N)`.

    Args:
        positions (np.ndarray): Positions :math:`(N, 2)`.
        radius (float, optional): The radius, in spacings of cells (the median distance to the nearest
            neighbour). (default: :obj:`8.0`)
    """
    pos = torch.as_tensor(positions)
    edges = radius_edges(pos / nearest_neighbor_spacing(pos), radius)[0]
    return torch.bincount(edges[0], minlength=pos.size(0)).numpy()


def spacing(positions: np.ndarray) -> float:
    r"""The median distance of a cell to the nearest one at another place.

    Args:
        positions (np.ndarray): Positions :math:`(N, 2)`, not all the same.
    """
    return nearest_neighbor_spacing(torch.as_tensor(positions))
