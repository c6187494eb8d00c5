import torch
from torch import Tensor

# Odd 64-bit constants of the SplitMix64 generator, as signed integers.
MIX = (-7046029254386353131, -4658895280553007687, -7723592293110705685)


@torch.library.custom_op("stofm_pyg::undirected_edges", mutates_args=())
def undirected_edges(edge_index: Tensor, distance: Tensor, batch: Tensor) -> Tensor:
    r"""Which edges of a graph to take so that each pair of nodes is there once, the smaller node first.

    Distances may differ by rounding between the two directions; that towards the later node counts.

    Args:
        edge_index (torch.Tensor): The edges :math:`(2, |\mathcal{E}|)`, both directions.
        distance (torch.Tensor): Their distances :math:`(|\mathcal{E}|)`, equal in both directions.
        batch (torch.Tensor): The subpatch of each node :math:`(N)`, sorted.

    Returns:
        Numbers of edges :math:`(\lfloor |\mathcal{E}| / 2 \rfloor)`. Half of the self-loops, if there
        are any, are at the end; they have no meaning, but so the size is known beforehand.

    Raises:
        ValueError: If an edge has no reverse of the same distance, if a distance is negative or not
            finite, if an edge joins two subpatches or if :obj:`batch` is not sorted.
    """
    _check_subpatches(edge_index, batch)
    _check_distances(edge_index, distance)
    source, target = edge_index
    up, down = (source < target).nonzero().view(-1), (source > target).nonzero().view(-1)

    # Sums of hashes do not depend on order, so no sort is needed to compare two sets of edges. The
    # distances are summed with weights made of the hashes, up to rounding.
    hash_up = _hash(source.index_select(0, up), target.index_select(0, up))
    hash_down = _hash(target.index_select(0, down), source.index_select(0, down))
    length = distance.index_select(0, up)
    difference = _weighted_sum(hash_up, length)
    difference -= _weighted_sum(hash_down, distance.index_select(0, down))
    tolerance = 1e-4 * float(length.double().norm())
    if int(hash_up.sum()) != int(hash_down.sum()) or not abs(float(difference)) <= tolerance:
        raise ValueError(
            f"The graph must be undirected, every edge with a reverse of the same distance (got "
            f"{up.numel()} edges to a later node and {down.numel()} to an earlier one); apply "
            f"'torch_geometric.transforms.ToUndirected(reduce=\"min\")', which without 'reduce' doubles "
            f"distances, or build it with 'SpatialRadiusGraph'"
        )
    num_loops = edge_index.size(1) // 2 - up.numel()
    if num_loops > 0:
        up = torch.cat([up, (source == target).nonzero().view(-1)[:num_loops]])
    return up


@undirected_edges.register_fake
def _(edge_index: Tensor, distance: Tensor, batch: Tensor) -> Tensor:
    return edge_index.new_empty(edge_index.size(1) // 2)


def _check_subpatches(edge_index: Tensor, batch: Tensor):
    if bool((batch.diff() < 0).any()):
        raise ValueError(
            "'batch' must be sorted, so that the nodes of a subpatch lie side by side; sort the "
            "nodes by it first, as 'torch_geometric.data.Batch' does"
        )
    if edge_index.numel() > 0:
        first, last = int(edge_index.min()), int(edge_index.max())
        if first < 0 or last >= batch.numel():
            raise ValueError(
                f"'edge_index' names nodes from {first} to {last}, but there are {batch.numel()}; take "
                f"edges and nodes from the same 'Data'"
            )
    if batch.numel() > 0 and bool(batch[0] == batch[-1]):
        return
    across = batch[edge_index[0]] != batch[edge_index[1]]
    if bool(across.any()):
        raise ValueError(
            f"The edge {edge_index[:, across][:, 0].tolist()} joins nodes of two different "
            f"subpatches ({int(across.sum())} edges do); remove such edges first"
        )


def _check_distances(edge_index: Tensor, distance: Tensor):
    # NaN fails every comparison, so one look at the extremes is enough.
    if distance.numel() == 0 or (float(distance.min()) >= 0 and float(distance.max()) < float("inf")):
        return
    bad = ~((distance >= 0) & distance.isfinite())
    raise ValueError(
        f"Distances must be finite and not negative (got {float(distance[bad][0])} along the edge "
        f"{edge_index[:, bad][:, 0].tolist()}; {int(bad.sum())} of {bad.numel()} are like this); check "
        f"'pos' for missing values and build the graph again with 'SpatialRadiusGraph'"
    )


def _hash(low: Tensor, high: Tensor) -> Tensor:
    key = low * MIX[0] + high * MIX[1]
    key = (key ^ (key >> 30)) * MIX[1]
    key = (key ^ (key >> 27)) * MIX[2]
    return key ^ (key >> 31)


def _weighted_sum(key: Tensor, distance: Tensor) -> Tensor:
    # Weights in [-2, -1] or [1, 2], so that distances which changed places do not cancel out.
    weight = key.double() / 2**63
    return (weight + weight.sign()) @ distance.double()
