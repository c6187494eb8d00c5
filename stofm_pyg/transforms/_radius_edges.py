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
        distance = _distance(pos.unsqueeze(0), pos.unsqueeze(1))
        near = (distance <= reach).fill_diagonal_(False)
        return near.nonzero().t().contiguous(), distance[near]

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
    return edge_index, _distance(pos[edge_index[0]], pos[edge_index[1]])


def _distance(a: Tensor, b: Tensor) -> Tensor:
    # Much faster than a norm over a dimension of two.
    dx, dy = a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]
    return dx.square_().add_(dy.square_()).sqrt_()
