from enum import IntEnum

import torch
from torch import Tensor
from torch_geometric.data import Data


class NodeType(IntEnum):
    r"""What a node of a slice is, in the codes of the official SToFM implementation.

    ``CELL`` is a measured cell or spot, ``CLS`` the read-out token of a subpatch, ``VIRTUAL`` the mean
    of a Leiden cluster (the macro scale) and ``PADDING`` fills up dense batches.
    """

    CELL = 0
    CLS = 1
    VIRTUAL = 2
    PADDING = 3


def node_types(data: Data) -> Tensor:
    r"""The :class:`NodeType` of each node :math:`(N)`; all are cells where the slice has no types."""
    if data.get("node_type") is None:
        return torch.full((data.num_nodes,), NodeType.CELL, dtype=torch.uint8)
    return data.node_type


def cell_mask(data: Data) -> Tensor:
    r"""Which nodes are cells :math:`(N)`; all of them where the slice has no node types."""
    return node_types(data) == NodeType.CELL
