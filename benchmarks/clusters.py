r"""Clusters of embeddings: as many as are asked for, or as many as other seeds find again."""

from dataclasses import dataclass
from itertools import combinations

import igraph
import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from stofm_pyg.transforms.clusters import leiden

NUM_NEIGHBORS = 15
# Resolutions that are tried for a stable number of clusters, with so many seeds each.
RESOLUTIONS, NUM_SEEDS = np.geomspace(0.05, 2.0, 10), 5
# More clusters than this, or of fewer cells on average, are none to look for.
MAX_STABLE, MEAN_SIZE = 50, 5
LOWEST, HIGHEST, MAX_TRIALS = 1e-3, 1e2, 25


@dataclass
class Stable:
    r"""Clusters that other seeds find again.

    Args:
        clusters (np.ndarray): The cluster of each cell :math:`(N)`.
        agreement (float): The mean adjusted Rand index between seeds.
    """

    clusters: np.ndarray
    agreement: float


def embedding_graph(x: np.ndarray, num_neighbors: int = NUM_NEIGHBORS) -> igraph.Graph:
    r"""The symmetric graph of the nearest neighbours of embeddings :math:`(N, D)`."""
    near = nearest_rows(x, num_neighbors)
    source = np.repeat(np.arange(len(near)), near.shape[1])
    edges = np.unique(np.sort(np.stack([source, near.reshape(-1)], axis=1), axis=1), axis=0)
    return igraph.Graph(n=len(x), edges=edges)


def nearest_rows(x: np.ndarray, num_neighbors: int, among: np.ndarray | None = None) -> np.ndarray:
    r"""The nearest other rows :math:`(N, k)` of each row, or the nearest rows of another array. Compares
    all pairs, which in many dimensions is faster than a tree."""
    size = min(num_neighbors, len(x) - 1) if among is None else num_neighbors
    search = NearestNeighbors(n_neighbors=size, algorithm="brute").fit(x if among is None else among)
    return search.kneighbors(None if among is None else x, return_distance=False)


def leiden_of_number(graph: igraph.Graph, number: int, seed: int) -> np.ndarray:
    r"""Leiden clusters :math:`(N)`, as many as asked for, or the nearest number that a resolution
    gives."""
    low, high = np.log(LOWEST), np.log(HIGHEST)
    best, miss = None, np.inf
    for _ in range(MAX_TRIALS):
        middle = (low + high) / 2
        found = leiden(graph, float(np.exp(middle)), "igraph", seed).numpy()
        count = found.max() + 1
        if abs(count - number) < miss:
            best, miss = found, abs(count - number)
        if miss == 0:
            break
        low, high = (middle, high) if count < number else (low, middle)
    return best


def stable_leiden(graph: igraph.Graph, seed: int) -> Stable:
    r"""Leiden clusters of the resolution at which several seeds agree best; of those that agree as well
    up to a standard error, the one with the most clusters. One cluster alone does not count."""
    found, most = [], min(MAX_STABLE, graph.vcount() // MEAN_SIZE)
    for resolution in RESOLUTIONS:
        runs = [
            leiden(graph, float(resolution), "igraph", seed * NUM_SEEDS + number).numpy()
            for number in range(NUM_SEEDS)
        ]
        numbers = [run.max() + 1 for run in runs]
        if min(numbers) > 1 and max(numbers) <= most:
            scores = [adjusted_rand_score(a, b) for a, b in combinations(runs, 2)]
            found.append((runs[0], float(np.mean(scores)), float(np.std(scores)) / NUM_SEEDS**0.5))
    if not found:  # Nothing that any resolution divides.
        return Stable(np.zeros(graph.vcount(), dtype=np.int64), 1.0)
    _, best, error = max(found, key=lambda item: item[1])
    clusters, agreement, _ = [item for item in found if item[1] >= best - error][-1]
    return Stable(clusters, agreement)
