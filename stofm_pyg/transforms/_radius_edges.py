import torch
from torch import Tensor

# Pairs on a lattice lie exactly on the radius; rounding must not decide whether they are edges.
TOLERANCE = 1e-6
# Up to so many positions, comparing all pairs is faster than building a search tree.
BRUTE_FORCE = 1024


def radius_edges(pos: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    r"""All ordered pairs of different positions within a radius, the radius itself included.

    Returns:
        The edges :math:`(2, |\mathcal{E}|)`, symmetric and sorted, and their distances
        :math:`(|\mathcal{E}|)` in double precision.
    """
    pos = pos.detach().cpu()
    reach = radius * (1 + TOLERANCE)
    if pos.is_floating_point() and pos.numel() > 0:
        reach += 2 * torch.finfo(pos.dtype).eps * float(pos.abs().max())
    pos = pos.double()
    if pos.size(0) <= BRUTE_FORCE:
        x, y = pos[:, :1], pos[:, 1:]
        squared = (x - x.t()).square_().add_((y - y.t()).square_())
        near = squared <= reach * reach
        edge_index = near.fill_diagonal_(False).nonzero().t().contiguous()
        return edge_index, squared[near].sqrt_()

    try:
        import torch_cluster
    except ImportError:  # No compiler when it was set up: scipy finds the same pairs.
        from scipy.spatial import cKDTree

        pairs = torch.from_numpy(cKDTree(pos.numpy()).query_pairs(reach, output_type="ndarray")).t()
        edge_index = torch.cat([pairs, pairs.flip(0)], dim=1)
    else:
        # A cap would keep arbitrary neighbours, so there is none.
        edge_index = torch_cluster.radius_graph(pos, r=reach, max_num_neighbors=pos.size(0))
    order = (edge_index[0] * pos.size(0) + edge_index[1]).argsort()
    edge_index = edge_index[:, order]
    source, target = edge_index
    return edge_index, (pos[source] - pos[target]).norm(dim=1)
