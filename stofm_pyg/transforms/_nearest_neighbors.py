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
