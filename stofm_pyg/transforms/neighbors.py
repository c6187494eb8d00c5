from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor
from torch_geometric.data import Data

# Distances that differ by less than this share of the typical one are equal: only their last bits,
# which turning the slice changes, tell them apart.
TOLERANCE = 1e-6
# A slice holds together if cells no further apart than so many spacings are in pieces of that many.
HOLDS_TOGETHER = 8.0
SMALL_HEAP = 100
FEW_NEIGHBORS = 8
POINTS_PER_BLOCK = 2**13
# Neighbours that are looked at together.
NEIGHBORS_PER_BLOCK = 2**20


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


# Points whose edges, and edges whose distances, are looked at together.
POINTS_PER_SEARCH, EDGES_PER_BLOCK = 2**17, 2**22

# Up to so many positions, comparing all pairs is faster than building a search tree.
BRUTE_FORCE = 1024


def radius_edges(pos: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    r"""All ordered pairs of different positions within a radius, the radius itself included.

    Returns:
        The edges :math:`(2, |\mathcal{E}|)`, symmetric and sorted, and their distances
        :math:`(|\mathcal{E}|)` in double precision.
    """
    pos, reach = _reach(pos, radius)
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
        return _edges_of_blocks(pos, lambda some: _near(torch_cluster, pos, some, reach))
    order = (edge_index[0] * pos.size(0) + edge_index[1]).argsort()
    edge_index = edge_index[:, order]
    return edge_index, _distance(pos[edge_index[0]], pos[edge_index[1]])


def _near(torch_cluster, pos: Tensor, some: slice, reach: float) -> tuple[Tensor, Tensor]:
    # How many others are within reach of each of some points, and which, in order. A cap would keep
    # arbitrary neighbours, so there is none.
    row, col = torch_cluster.radius(pos, pos[some], reach, max_num_neighbors=pos.size(0))
    other = col != row + some.start
    row, col = row[other], col[other]
    order = (row * pos.size(0) + col).argsort()
    return torch.bincount(row, minlength=some.stop - some.start), col[order].int()


def _edges_of_blocks(
    pos: Tensor, near: Callable[[slice], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    # Little more is in memory at any time than the edges that are returned.
    blocks = [
        slice(start, min(start + POINTS_PER_SEARCH, pos.size(0)))
        for start in range(0, pos.size(0), POINTS_PER_SEARCH)
    ]
    found = [near(some) for some in blocks]
    size = sum(col.numel() for _, col in found)
    edge_index, distance = torch.empty(2, size, dtype=torch.long), pos.new_empty(size)
    end = 0
    for number, some in enumerate(blocks):
        degree, col = found[number]
        found[number] = None
        start, end = end, end + col.numel()
        row = torch.arange(some.start, some.stop).repeat_interleave(degree)
        edge_index[0, start:end], edge_index[1, start:end] = row, col
        distance[start:end] = _distance(pos[row], pos[col])
    return edge_index, distance


def nearest_edges(pos: Tensor, radius: float, max_neighbors: int) -> tuple[Tensor, Tensor]:
    r"""Those of :meth:`radius_edges` that are among the shortest of one of their ends, in memory that
    grows with their number, however many lie within the radius.

    Args:
        pos (torch.Tensor): Positions :math:`(N, 2)`.
        radius (float): The radius.
        max_neighbors (int): How many are kept at each end; equally short ones by the order of nodes.
    """
    pos, reach = _reach(pos, radius)
    num_points, unit = pos.size(0), radius * TOLERANCE
    points = pos.numpy()
    # Of many cells at one place, no cell has more than the first few as neighbours.
    place = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(place, kind="stable")
    count = np.bincount(place)
    rank = np.empty(num_points, dtype=np.int64)
    rank[order] = np.arange(num_points) - np.repeat(np.cumsum(count) - count, count)
    kept = np.flatnonzero(rank <= max_neighbors)
    tree = cKDTree(points[kept])

    edges = [np.empty((2, 0), dtype=np.int64)]
    todo, looked_at = np.arange(num_points), max_neighbors + 2
    while todo.size > 0:
        looked_at, undecided = min(looked_at, len(kept)), []
        size = max(1, NEIGHBORS_PER_BLOCK // looked_at)
        for row in np.split(todo, range(size, todo.size, size)):
            distance, index = tree.query(
                points[row],
                k=[*range(1, looked_at + 1)],
                distance_upper_bound=np.nextafter(reach, np.inf),
            )
            index = np.append(kept, -1)[index]  # Too few are filled up with the number of points.
            distance = np.round(distance / unit)
            last = distance[:, -1].copy()
            distance[index == row[:, None]] = np.inf
            order = np.lexsort((index, distance), axis=1)[:, :max_neighbors]
            distance, index = (np.take_along_axis(each, order, axis=1) for each in (distance, index))
            # Where the last neighbour ties with the last one looked at, there may be more like it.
            ties = np.isfinite(last) & (distance[:, -1] >= last) & (looked_at < len(kept))
            undecided.append(row[ties])
            near = np.isfinite(distance) & ~ties[:, None]
            edges.append(np.stack([np.repeat(row, near.sum(axis=1)), index[near]]))
        todo, looked_at = np.concatenate(undecided), 2 * looked_at

    row, col = torch.from_numpy(np.concatenate(edges, axis=1))
    key = torch.cat([row * num_points + col, col * num_points + row]).unique()
    edge_index = torch.stack([key // max(1, num_points), key % max(1, num_points)])
    distance = _distance(pos[edge_index[0]], pos[edge_index[1]])
    near = distance <= reach
    return edge_index[:, near], distance[near]


def _reach(pos: Tensor, radius: float) -> tuple[Tensor, float]:
    # Positions in double precision, and up to which distance they are joined.
    pos = pos.detach().cpu()
    # Pairs on a lattice lie exactly on the radius; rounding must not decide whether they are edges.
    reach = radius * (1 + TOLERANCE)
    if pos.is_floating_point() and pos.numel() > 0:
        reach += 2 * torch.finfo(pos.dtype).eps * float(pos.abs().max())
    return pos.double(), reach


def _distance(a: Tensor, b: Tensor) -> Tensor:
    # Much faster than a norm over a dimension of two.
    dx, dy = a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]
    return dx.square_().add_(dy.square_()).sqrt_()


class Spacing(NamedTuple):
    r"""How far apart the places of a slice are, see :meth:`neighbor_spacing`."""

    #: The median distance of a place to the nearest other.
    length: float
    #: The number of places.
    num_places: int
    #: Whether places are heaps of different positions.
    heaps: bool


def nearest_neighbor_spacing(pos: Tensor) -> float:
    r"""The median distance of a place to the nearest other one, see :meth:`neighbor_spacing`."""
    return neighbor_spacing(pos).length


def neighbor_spacing(pos: Tensor) -> Spacing:
    r"""How far apart the places of a slice are, computed in double precision.

    A place is a position; coincident cells count once, so that duplicates do not shrink the unit. Where
    cells are no further apart than eight spacings within small heaps, but the heaps are (several cells
    of a spot with a little jitter, pairs of twins), a graph of the slice would fall apart. Then
    the places are the middles of the heaps.

    Args:
        pos (torch.Tensor): Positions :math:`(N, 2)`, at least two of them different.
    """
    points = pos.detach().cpu().double().unique(dim=0).numpy()
    heaps = False
    while True:
        tree = cKDTree(points)
        distance, _ = tree.query(points, k=2)
        length = float(torch.from_numpy(distance[:, 1]).median())
        heap = _small_heaps(tree, HOLDS_TOGETHER * length)
        if heap is None:
            return Spacing(length, len(points), heaps)
        heaps, size = True, np.bincount(heap)
        points = np.stack([np.bincount(heap, points[:, axis]) / size for axis in (0, 1)], axis=1)


def _small_heaps(tree: cKDTree, reach: float) -> np.ndarray | None:
    # The connected piece of each point, if most points are in small ones. Of a piece smaller than k,
    # the k nearest of each point are all there is; a few are enough where pieces are large.
    num_points = tree.n
    for k in (FEW_NEIGHBORS, SMALL_HEAP):
        row, col = [], []
        for start in range(0, num_points, POINTS_PER_BLOCK):
            block = tree.data[start : start + POINTS_PER_BLOCK]
            distance, index = tree.query(
                block, k=min(k + 1, num_points), distance_upper_bound=np.nextafter(reach, np.inf)
            )
            near, place = np.isfinite(distance).nonzero()
            row.append(near + start)
            col.append(index[near, place])
        row, col = np.concatenate(row), np.concatenate(col)
        ones = np.ones(len(row), dtype=np.int8)
        graph = sparse.csr_matrix((ones, (row, col)), shape=(num_points, num_points))
        heap = connected_components(graph, directed=False)[1]
        if np.median(np.bincount(heap)[heap]) >= min(SMALL_HEAP, num_points / 4):
            return None
    return heap


def check_distances(data: Data):
    r"""Checks that the edges of a slice carry the distances of its positions.

    Args:
        data (Data): The slice; without positions, or without distances, there is nothing to check.

    Raises:
        ValueError: They do not; the message names the first edge.
    """
    if data.pos is None or data.edge_index is None or data.edge_attr is None:
        return
    if data.edge_attr.numel() != data.edge_index.size(1):
        raise ValueError(
            f"'edge_attr' has shape {list(data.edge_attr.shape)} for {data.edge_index.size(1)} edges; "
            f"it must hold one distance for each"
        )
    given, pos = data.edge_attr.reshape(-1), data.pos.double()
    largest, num_wrong, first = float(pos.abs().max() if pos.numel() else 0.0), 0, None
    for start in range(0, given.numel(), EDGES_PER_BLOCK):
        source, target = data.edge_index[:, start : start + EDGES_PER_BLOCK].long()
        distance = _distance(pos[source], pos[target])
        rounding = 1e-3 * distance + 1e-5 * largest
        length = given[start : start + EDGES_PER_BLOCK].double()
        wrong = ~((length - distance).abs() <= rounding)
        number = int(wrong.sum())
        if number and first is None:
            edge = int(wrong.nonzero()[0])
            first = f"{int(source[edge])} to {int(target[edge])}: {float(length[edge]):g}"
            first += f" instead of {float(distance[edge]):g}"
        num_wrong += number
    if first is not None:
        raise ValueError(
            f"{num_wrong:,} of {given.numel():,} edges have another distance in 'edge_attr' than "
            f"their ends in 'pos', the first from node {first}. Build the graph by "
            f"'SpatialRadiusGraph'; 'ToUndirected' needs 'reduce=\"min\"', or it adds up distances"
        )
