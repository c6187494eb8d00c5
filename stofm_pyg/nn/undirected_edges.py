import torch
from torch import Tensor

# Odd 64-bit constants of the SplitMix64 generator, as signed integers.
MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)


def undirected_edges(edge_index: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    r"""The undirected edges of a graph, each once with its smaller node first; self-loops are left out.

    Distances may differ by rounding between the two directions; that towards the later node counts.

    Args:
        edge_index (torch.Tensor): The edges :math:`(2, |\mathcal{E}|)`, both directions.
        distance (torch.Tensor): Their distances :math:`(|\mathcal{E}|)`, equal in both directions.

    Raises:
        ValueError: If an edge has no reverse of the same distance.
    """
    source, target = edge_index
    up, down = source < target, source > target
    low, high, length = source[up], target[up], distance[up]

    # Sums of hashes do not depend on order, so no sort is needed to compare two sets of edges. The
    # distances are summed with weights made of the hashes, up to rounding.
    hash_up, hash_down = _hash(low, high), _hash(target[down], source[down])
    difference = _weighted_sum(hash_up, length) - _weighted_sum(hash_down, distance[down])
    tolerance = 1e-4 * float(length.detach().double().norm())
    if int(hash_up.sum()) != int(hash_down.sum()) or not abs(float(difference)) <= tolerance:
        raise ValueError(
            f"The graph must be undirected, every edge with a reverse of the same distance (got "
            f"{low.numel()} edges to a later node and {hash_down.numel()} to an earlier one); apply "
            f"'torch_geometric.transforms.ToUndirected' or build it with 'SpatialRadiusGraph'"
        )
    return torch.stack([low, high]), length


def _hash(low: Tensor, high: Tensor) -> Tensor:
    key = low * MIX[0] + high * MIX[1]
    key = (key ^ (key >> 30)) * MIX[1]
    key = (key ^ (key >> 27)) * MIX[2]
    return key ^ (key >> 31)


def _weighted_sum(key: Tensor, distance: Tensor) -> Tensor:
    # Weights in [-2, -1] or [1, 2], so that distances which changed places do not cancel out.
    weight = key.double() / 2**63
    return (weight + weight.sign()) @ distance.detach().double()
