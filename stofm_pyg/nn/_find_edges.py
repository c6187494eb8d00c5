import torch
from torch import Tensor


def find_edges(edge_index: Tensor, pairs: Tensor, num_nodes: int) -> Tensor:
    r"""The number of the edge that each pair is :math:`(P)`, -1 where it is none.

    Args:
        edge_index (torch.Tensor): The edges :math:`(2, |\mathcal{E}|)`.
        pairs (torch.Tensor): The pairs :math:`(2, P)`, written as edges.
        num_nodes (int): The number of nodes.
    """
    if edge_index.size(1) == 0:
        return torch.full_like(pairs[0], -1)
    key, perm = (edge_index[0] * num_nodes + edge_index[1]).sort()
    wanted = pairs[0] * num_nodes + pairs[1]
    place = torch.searchsorted(key, wanted).clamp(max=key.numel() - 1)
    return torch.where(key[place] == wanted, perm[place], -1)
