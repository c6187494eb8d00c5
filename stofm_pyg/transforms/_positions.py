import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.nn.node_type import NodeType


def node_types(data: Data) -> Tensor:
    r"""The :class:`NodeType` of each node :math:`(N)`; all are cells where the slice has no types."""
    if data.get("node_type") is None:
        return torch.full((data.num_nodes,), NodeType.CELL, dtype=torch.uint8)
    return data.node_type


def cell_mask(data: Data) -> Tensor:
    r"""Which nodes are cells :math:`(N)`; all of them where the slice has no node types."""
    return node_types(data) == NodeType.CELL


def check_positions(pos: Tensor) -> Tensor:
    r"""Returns finite positions :math:`(N, 2)` with at least two different ones, or raises.

    Raises:
        ValueError: If positions are missing, of another shape, not finite or all equal.
    """
    if pos is None:
        raise ValueError("The slice has no positions; set 'data.pos' to a tensor of shape [N, 2]")
    if pos.dim() != 2 or pos.size(1) != 2:
        raise ValueError(
            f"Positions must have shape [N, 2] (got {list(pos.shape)}); pass the two coordinates in "
            f"the plane of the slice, 'pos[:, :2]'"
        )
    if pos.size(0) == 0:
        raise ValueError("The slice is empty: it has no cell; leave it out")
    finite = pos.isfinite().all(dim=1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise ValueError(
            f"{int((~finite).sum())} of {pos.size(0)} positions are not finite, the first in row {row}: "
            f"{pos[row].tolist()}; drop these cells or mend their coordinates"
        )
    if (pos == pos[0]).all():
        raise ValueError(
            f"All {pos.size(0)} positions equal {pos[0].tolist()}; a slice needs at least two cells at "
            f"different positions (is this the right spatial key?)"
        )
    return pos


def nearest_neighbor_spacing(pos: Tensor) -> float:
    r"""The median distance of a position to the nearest different one, computed in double precision.

    Coincident cells count once, so that duplicates do not shrink the unit.
    """
    from scipy.spatial import cKDTree

    points = pos.detach().cpu().double().unique(dim=0).numpy()
    distance, _ = cKDTree(points).query(points, k=2)
    return float(torch.from_numpy(distance[:, 1]).median())
