import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from stofm_pyg.transforms.neighbors import nearest_neighbors

# METIS gives isolated nodes to arbitrary parts, so they join their nearest neighbours.
NEIGHBORS_OF_ISOLATED = 3


def metis_partition(edge_index: Tensor, pos: Tensor, num_parts: int, seed: int) -> Tensor:
    r"""The part of each node :math:`(N)`: METIS' multilevel k-way partition of a graph, whose edges
    count in both directions."""
    num_nodes = pos.size(0)
    if num_parts == 1:
        return torch.zeros(num_nodes, dtype=torch.long)
    import pymetis

    graph = _both_directions(edge_index, num_nodes)
    joined = _join_isolated(graph, pos)
    if joined is not None:
        graph = graph + _both_directions(joined, num_nodes)
    _, part = pymetis.part_graph(
        num_parts,
        pymetis.CSRAdjacency(graph.indptr, graph.indices),
        recursive=False,
        options=pymetis.Options(seed=seed),
    )
    return torch.tensor(part)


def grid_partition(pos: Tensor, cells_per_part: int) -> Tensor:
    r"""The part of each node :math:`(N)` on the official axis-aligned grid: squares whose number is
    one more than that of full parts; a square with twice the cells or more is cut in file order.

    Where rounding puts cells beyond the last border, the official code loses them. Here they form
    squares of their own, so that the others stay as they are.
    """
    num_nodes = pos.size(0)
    part = torch.zeros(num_nodes, dtype=torch.long)
    if num_nodes <= cells_per_part:
        return part
    pos = pos.double()
    low, high = pos.amin(dim=0), pos.amax(dim=0)
    extent = high - low
    side = float((extent.prod() / (num_nodes // cells_per_part + 1)).sqrt())
    if side == 0:  # All cells on one line: squares of no area, so cut the line instead.
        side = float(extent.max()) / (num_nodes // cells_per_part + 1) or 1.0
    counts = (extent / side).floor().long() + 2
    column = []
    for axis in range(2):
        border = low[axis] + side * torch.arange(1, counts[axis], dtype=pos.dtype)
        column.append(torch.bucketize(pos[:, axis].contiguous(), border, right=True))
    square = column[0] * int(counts[1]) + column[1]
    next_part = 0
    for value in square.unique():
        members = (square == value).nonzero().view(-1).numpy()
        for chunk in np.array_split(members, max(1, len(members) // cells_per_part)):
            part[torch.from_numpy(chunk)] = next_part
            next_part += 1
    return part


def _both_directions(edge_index: Tensor, num_nodes: int) -> sparse.csr_matrix:
    # METIS reads beyond its arrays where an edge has no reverse, or ends where it begins.
    loops = edge_index[0] == edge_index[1]
    if loops.any():
        edge_index = edge_index[:, ~loops]
    row, col = edge_index.int().numpy()
    ones = np.ones(len(row), dtype=bool)
    graph = sparse.coo_matrix((ones, (row, col)), shape=(num_nodes, num_nodes)).tocsr()
    graph = graph + graph.T.tocsr()
    graph.sort_indices()
    return graph


def _join_isolated(graph: sparse.csr_matrix, pos: Tensor) -> Tensor | None:
    isolated = torch.from_numpy(np.flatnonzero(np.diff(graph.indptr) == 0))
    if isolated.numel() == 0:
        return None
    near = nearest_neighbors(pos, NEIGHBORS_OF_ISOLATED, isolated)
    return torch.stack([isolated.repeat_interleave(near.size(1)), near.view(-1)])
