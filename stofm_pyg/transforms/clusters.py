import random

import torch
from torch import Tensor

from stofm_pyg.transforms.neighbors import nearest_neighbors

METHODS = ("igraph", "leidenalg")
# Run until nothing changes, Leiden takes three to ten times as long on large slices, for a modularity
# that is higher by a thousandth (four real slices of 3,190 to 34,451 cells; adjusted Rand index .94
# to .99).
ITERATIONS = 8
# Three of them take half the time, for a modularity that is lower by one or two thousandths and an
# adjusted Rand index of .93 to .97 with the clusters of eight, where another seed has .47 to .65
# (benchmarks/speed/leiden.py, docs/scaling.md).
LARGE, FEW_ITERATIONS = 50_000, 3


def neighbor_graph(points: Tensor, num_neighbors: int):
    r"""The symmetric nearest-neighbour graph of points :math:`(N, D)` as an :class:`igraph.Graph`.

    A turned slice gives the same graph.
    """
    import igraph

    near = nearest_neighbors(points, num_neighbors)
    source = torch.arange(near.size(0)).repeat_interleave(near.size(1))
    target, size = near.view(-1), points.size(0)
    # One number for both ends is sorted thirty times as fast as rows are.
    edge = (torch.minimum(source, target) * size + torch.maximum(source, target)).unique()
    return igraph.Graph(n=size, edges=torch.stack([edge // size, edge % size], dim=1).numpy())


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
    iterations = ITERATIONS if graph.vcount() <= LARGE else FEW_ITERATIONS
    try:
        partition = graph.community_leiden(
            objective_function="modularity", resolution=resolution, n_iterations=iterations
        )
    finally:
        igraph.set_random_number_generator(random)
    return torch.tensor(partition.membership)
