import copy

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.data.slices.names import name_hashes
from stofm_pyg.nn.node_type import cell_mask


def name_order(names: pd.Index) -> np.ndarray:
    r"""An order of cells :math:`(N)` that follows from their names alone, wherever in a file they are.

    Clusters and partitions take nodes one after another, so that another order gives others; what is
    made of a slice is made in this one. Cells of equal names stay as they are.
    """
    return np.argsort(name_hashes(names), kind="stable")


def sort_cells(data: Data) -> Data:
    r"""Puts the cells of a slice into the order of :meth:`name_order`; other nodes follow as they were.
    A slice without :obj:`cell_hash` is left alone.

    Args:
        data (Data): The slice, not changed.
    """
    if data.get("cell_hash") is None:
        return data
    is_cell = cell_mask(data)
    rows = is_cell.nonzero().view(-1)
    rows = rows[data.cell_hash[is_cell].argsort(stable=True)]
    return permute_nodes(data, torch.cat([rows, (~is_cell).nonzero().view(-1)]))


def permute_nodes(data: Data, order: Tensor) -> Data:
    r"""Puts the nodes of a slice into another order, and its edges by their ends.

    Args:
        data (Data): The slice, not changed.
        order (torch.Tensor): The node that comes first, second, ... :math:`(N)`.
    """
    size = order.numel()
    if torch.equal(order, torch.arange(size)):
        return data
    out = copy.copy(data)
    edge_index = data.edge_index
    for key, value in data.to_dict().items():
        if key != "edge_index" and isinstance(value, Tensor) and data.is_node_attr(key):
            out[key] = value[order]
    if edge_index is None:
        return out
    place = torch.empty_like(order)
    place[order] = torch.arange(size)
    row, col = place[edge_index.long()]
    by_ends = (row * size + col).argsort()
    out.edge_index = torch.stack([row[by_ends], col[by_ends]]).to(edge_index.dtype)
    for key, value in data.to_dict().items():
        if key != "edge_index" and isinstance(value, Tensor) and data.is_edge_attr(key):
            out[key] = value[by_ends]
    return out
