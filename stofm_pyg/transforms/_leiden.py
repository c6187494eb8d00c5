import random

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

METHODS = ("igraph", "leidenalg")


def neighbor_graph(points: Tensor, num_neighbors: int):
    r"""The symmetric nearest-neighbour graph of points :math:`(N, D)` as an :class:`igraph.Graph`.

    Distances are rounded and ties broken by order, so that a turned slice gives the same graph.
    """
    import igraph

    array = points.double().cpu().numpy()
    num_points = array.shape[0]
    k = min(num_neighbors + 1, num_points)
    distance, index = cKDTree(array).query(array, k=min(k + 2, num_points))
    scale = max(float(np.median(distance[:, -1])), np.finfo(float).tiny)
    distance = np.round(distance / (scale * 1e-6))
    # Each point comes first in its own list, also among coincident ones.
    distance[index == np.arange(num_points)[:, None]] = -1
    order = np.lexsort((index, distance), axis=1)[:, 1:k]
    target = np.take_along_axis(index, order, axis=1)
    source = np.repeat(np.arange(num_points), k - 1)
    edges = np.sort(np.stack([source, target.ravel()], axis=1), axis=1)
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    return igraph.Graph(n=num_points, edges=edges)


def leiden(graph, resolution: float, method: str, seed: int) -> Tensor:
    r"""Leiden communities :math:`(N)` of a graph by modularity with a resolution."""
    if method == "leidenalg":
        import leidenalg

        partition = leidenalg.find_partition(
            graph,
            leidenalg.RBConfigurationVertexPartition,
            resolution_parameter=resolution,
            seed=seed,
        )
        return torch.tensor(partition.membership)

    import igraph

    igraph.set_random_number_generator(random.Random(seed))
    try:
        partition = graph.community_leiden(
            objective_function="modularity", resolution=resolution, n_iterations=-1
        )
    finally:
        igraph.set_random_number_generator(random)
    return torch.tensor(partition.membership)
