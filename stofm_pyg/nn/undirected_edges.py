import torch
from torch import Tensor

# Odd 64-bit constants of the SplitMix64 generator, as signed integers.
MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)


def undirected_edges(edge_index: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    r"""The undirected edges of a graph, each once with its smaller node first; self-loops are left out.

    Args:
        edge_index (torch.Tensor): The edges :math:`(2, |\mathcal{E}|)`, both directions.
        distance (torch.Tensor): Their distances :math:`(|\mathcal{E}|)`, equal in both directions.

    Raises:
        ValueError: If an edge has no reverse of the same distance.
    """
    source, target = edge_index
    up, down = source < target, source > target
    if _fingerprint(source, target, distance, up) != _fingerprint(target, source, distance, down):
        raise ValueError(
            f"The graph must be undirected, every edge with a reverse of the same distance (got "
            f"{int(up.sum())} edges to a later node and {int(down.sum())} to an earlier one); apply "
            f"'torch_geometric.transforms.ToUndirected' or build it with 'SpatialRadiusGraph'"
        )
    return edge_index[:, up], distance[up]


def _fingerprint(low: Tensor, high: Tensor, distance: Tensor, mask: Tensor) -> int:
    # A sum of hashes does not depend on order, so no sort is needed to compare two sets of edges.
    low, high = low[mask], high[mask]
    bits = distance.detach()[mask].double().view(torch.long)
    key = low * MIX[0] + high * MIX[1] + bits * MIX[2]
    key = (key ^ (key >> 30)) * MIX[1]
    key = (key ^ (key >> 27)) * MIX[2]
    return int((key ^ (key >> 31)).sum())
