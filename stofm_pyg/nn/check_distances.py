from torch import Tensor


def check_distances(edge_index: Tensor, edge_attr: Tensor | None) -> Tensor:
    r"""Returns one distance per edge :math:`(|\mathcal{E}|, 1)`, or raises."""
    if edge_attr is None or edge_attr.numel() != edge_index.size(1):
        shape = None if edge_attr is None else tuple(edge_attr.shape)
        raise ValueError(
            f"'edge_attr' must hold one distance for each of the {edge_index.size(1)} edges "
            f"(got shape {shape}); 'SpatialRadiusGraph' makes both"
        )
    return edge_attr.reshape(-1, 1)
