import copy

import torch
from torch import Tensor

from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.nn.pair_representation import PairRepresentation


@torch.no_grad()
def attention_weights(pair: PairRepresentation, nodes: Tensor, layer: int = -1) -> Tensor:
    r"""The attention weights of some nodes in one layer, from the pair representation that the last
    layer returned, without the matrix of all pairs.

    Args:
        pair (PairRepresentation): The pair representation, *e.g.*, :obj:`encoder(...).pair`.
        nodes (torch.Tensor): The nodes :math:`(R)`, of one subpatch.
        layer (int, optional): The layer, counted from zero, or from the last one if negative.
            (default: :obj:`-1`)

    Returns:
        The weights :math:`(R, n, H)` that each gives to all nodes of its subpatch, which sum to one, as
        they are without dropout.

    Raises:
        IndexError: There is no such layer.
        ValueError: The nodes are not of one subpatch.
    """
    if not -pair.num_layers <= layer < pair.num_layers:
        raise IndexError(
            f"There is no layer {layer}; the pair representation has {pair.num_layers} layers"
        )
    # A layer attends under the logits of all layers up to it.
    upto = copy.copy(pair)
    upto.queries = pair.queries[: layer % pair.num_layers + 1]
    upto.keys = pair.keys[: layer % pair.num_layers + 1]
    logits = upto.rows(nodes)
    if pair.node_type is not None:
        mates = pair.batch == pair.batch[nodes[0]]
        padding = (pair.node_type == NodeType.PADDING)[mates]
        logits = logits.masked_fill(padding.view(1, -1, 1), torch.finfo(logits.dtype).min)
    return logits.softmax(dim=1)
