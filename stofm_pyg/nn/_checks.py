import torch
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


def check_prior(edge_index: Tensor, edge_prior: Tensor | None, channels: int) -> Tensor | None:
    r"""Returns the scores of each edge :math:`(|\mathcal{E}|, C)`, or raises."""
    shape = None if edge_prior is None else tuple(edge_prior.shape)
    if channels == 0 and edge_prior is not None:
        raise ValueError(
            f"An 'edge_prior' of shape {shape} is given, but 'prior_channels' is 0; make the layer with "
            f"the number of scores of an edge, or leave it out"
        )
    if channels > 0 and shape != (edge_index.size(1), channels):
        raise ValueError(
            f"'edge_prior' must hold 'prior_channels={channels}' scores for each of the "
            f"{edge_index.size(1)} edges (got shape {shape}); 'LigandReceptorPrior' makes them"
        )
    return edge_prior


def check_nodes(name: str, value: Tensor | None, num_nodes: int) -> Tensor | None:
    r"""Returns one value per node :math:`(N)`, or raises."""
    if value is not None and value.shape != (num_nodes,):
        raise ValueError(
            f"'{name}' must hold one value for each of the {num_nodes} nodes (got shape "
            f"{tuple(value.shape)})"
        )
    return value


def check_precision(x: Tensor) -> Tensor:
    r"""Returns the features, or raises where their device does not compute in their precision."""
    if x.dtype == torch.float16 and x.device.type == "cpu":
        raise ValueError(
            "Features of type torch.float16 on a CPU, which has no arithmetic for it; use torch.float32 "
            "or torch.bfloat16 there, or move model and data to a GPU"
        )
    if x.dtype == torch.bfloat16 and x.is_cuda and not torch.cuda.is_bf16_supported():
        raise ValueError(
            f"Features of type torch.bfloat16 on {torch.cuda.get_device_name(x.device)}, which does not "
            f"compute in it; use torch.float16 or torch.float32"
        )
    return x
