from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from stofm_pyg.transforms.neighbors import TOLERANCE, nearest_neighbor_spacing

#: Rings around a cell: from where and to where, in spacings of cells.
RINGS = ((0.0, 2.0), (2.0, 4.0), (4.0, 8.0))
CELLS_PER_BLOCK = 4096
# Where many cells lie at one place, a block has fewer, so that its pairs fit into memory.
PAIRS_PER_BLOCK = 2**23


def ring_means(
    x: Tensor, pos: Tensor, rings: Sequence[tuple[float, float]] = RINGS
) -> Tensor:
    r"""The mean features of the cells in each ring around each cell, the cell itself left out; zero
    where a ring is empty.

    Args:
        x (torch.Tensor): The features of the cells of a slice :math:`(N, F)`.
        pos (torch.Tensor): Their positions :math:`(N, 2)`, in any unit.
        rings (sequence, optional): From where and to where each ring reaches, in spacings of cells.
            (default: :obj:`RINGS`)

    Returns:
        The means :math:`(N, R, F)`.
    """
    pos = pos.detach().cpu().double()
    points = (pos / nearest_neighbor_spacing(pos)).numpy()
    tree = cKDTree(points)
    # Pairs on a lattice lie exactly on the rim of a ring; rounding must not decide which they are in.
    rings = [(low * (1 + TOLERANCE), high * (1 + TOLERANCE)) for low, high in rings]
    reach = max(high for _, high in rings)
    values = x.detach().cpu().numpy()
    out = torch.zeros(x.size(0), len(rings), x.size(1), dtype=x.dtype)
    waiting = [*torch.arange(x.size(0)).split(CELLS_PER_BLOCK)][::-1]
    while waiting:
        rows = waiting.pop()
        start = int(rows[0])
        own = cKDTree(points[start : start + rows.numel()])
        if rows.numel() > 1 and own.count_neighbors(tree, reach) > PAIRS_PER_BLOCK:
            waiting += [*rows.tensor_split(2)][::-1]
            continue
        pairs = own.sparse_distance_matrix(tree, reach, output_type="coo_matrix")
        row, col, distance = pairs.row, pairs.col, pairs.data
        other = row + start != col
        for number, (low, high) in enumerate(rings):
            inside = other & (distance > low) & (distance <= high)
            if low == 0:  # Cells at the same place are neighbours, too.
                inside |= other & (distance == 0)
            ones = np.ones(int(inside.sum()), dtype=values.dtype)
            near = sparse.csr_matrix((ones, (row[inside], col[inside])), (rows.numel(), x.size(0)))
            count = np.maximum(np.bincount(row[inside], minlength=rows.numel()), 1)
            out[rows, number] = torch.from_numpy(near @ values / count[:, None]).to(x.dtype)
    return out
