import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

# Distances that differ by less than this share of the typical one are equal: only their last bits,
# which turning the slice changes, tell them apart.
TOLERANCE = 1e-6


def nearest_neighbors(points: Tensor, num_neighbors: int, rows: Tensor | None = None) -> Tensor:
    r"""The nearest other points :math:`(R, k)` of points :math:`(N, D)`, or of some rows of them.

    Equally near ones are taken in their order, so that a turned slice has the same neighbours.
    """
    array = points.detach().double().cpu().numpy()
    num_points = len(array)
    k = min(num_neighbors, num_points - 1)
    row = np.arange(num_points) if rows is None else rows.cpu().numpy()
    out = np.empty((len(row), k), dtype=np.int64)
    tree = cKDTree(array)
    todo, reach, unit = np.arange(len(row)), k + 2, None
    while todo.size > 0:
        reach = min(reach, num_points)
        distance, index = tree.query(array[row[todo]], k=[*range(1, reach + 1)])
        if unit is None:
            positive = distance[distance > 0]
            unit = TOLERANCE * float(np.median(positive)) if positive.size > 0 else 1.0
        distance = np.round(distance / unit)
        distance[index == row[todo, None]] = -1  # Each point comes first in its own list.
        order = np.lexsort((index, distance), axis=1)
        out[todo] = np.take_along_axis(index, order[:, 1 : k + 1], axis=1)
        if reach == num_points:
            break
        # Where the last neighbour ties with the last one looked at, there may be more like it.
        last = np.take_along_axis(distance, order[:, [k, -1]], axis=1)
        todo = todo[last[:, 0] == last[:, 1]]
        reach *= 2
    return torch.from_numpy(out)


# Up to so many positions, comparing all pairs is faster than building a search tree.
BRUTE_FORCE = 1024


def radius_edges(pos: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    r"""All ordered pairs of different positions within a radius, the radius itself included.

    Returns:
        The edges :math:`(2, |\mathcal{E}|)`, symmetric and sorted, and their distances
        :math:`(|\mathcal{E}|)` in double precision.
    """
    pos = pos.detach().cpu()
    # Pairs on a lattice lie exactly on the radius; rounding must not decide whether they are edges.
    reach = radius * (1 + TOLERANCE)
    if pos.is_floating_point() and pos.numel() > 0:
        reach += 2 * torch.finfo(pos.dtype).eps * float(pos.abs().max())
    pos = pos.double()
    if pos.size(0) <= BRUTE_FORCE:
        distance = _distance(pos.unsqueeze(0), pos.unsqueeze(1))
        near = (distance <= reach).fill_diagonal_(False)
        return near.nonzero().t().contiguous(), distance[near]

    try:
        import torch_cluster
    except ImportError:  # No compiler when it was set up: scipy finds the same pairs.
        from scipy.spatial import cKDTree

        pairs = torch.from_numpy(cKDTree(pos.numpy()).query_pairs(reach, output_type="ndarray")).t()
        edge_index = torch.cat([pairs, pairs.flip(0)], dim=1)
    else:
        # A cap would keep arbitrary neighbours, so there is none.
        edge_index = torch_cluster.radius_graph(pos, r=reach, max_num_neighbors=pos.size(0))
    order = (edge_index[0] * pos.size(0) + edge_index[1]).argsort()
    edge_index = edge_index[:, order]
    return edge_index, _distance(pos[edge_index[0]], pos[edge_index[1]])


def _distance(a: Tensor, b: Tensor) -> Tensor:
    # Much faster than a norm over a dimension of two.
    dx, dy = a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]
    return dx.square_().add_(dy.square_()).sqrt_()
