from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data


def append_nodes(
    data: Data,
    num_nodes: int,
    values: dict[str, Tensor],
    floating: Callable[[Tensor], Tensor],
) -> Data:
    r"""Appends nodes to every node attribute of a slice, in the attribute's own type.

    Args:
        data (Data): The slice; changed in place.
        num_nodes (int): How many nodes to append.
        values (dict[str, torch.Tensor]): The rows of the attributes that are known.
        floating (Callable): Makes the rows of any other floating attribute from its values. Other
            integers are -1 ("unknown"), other booleans :obj:`False`.
    """
    total = data.num_nodes + num_nodes
    for key in data.node_attrs():
        value = data[key]
        if not isinstance(value, Tensor):
            continue
        if key in values:
            rows = values[key]
        elif value.is_floating_point():
            rows = floating(value)
        else:
            fill = 0 if value.dtype == torch.bool else -1
            rows = torch.full((num_nodes, *value.shape[1:]), fill)
        data[key] = torch.cat([value, rows.to(value.dtype)], dim=0)
    if "num_nodes" in data:
        data.num_nodes = total
    return data
