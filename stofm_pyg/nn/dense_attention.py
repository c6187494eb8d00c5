import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.nn.pair_representation import PairRepresentation


def dense_attention(
    pair: PairRepresentation,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: float = 0.0,
) -> Tensor:
    r"""Attention over all pairs of a subpatch under the logits that the layers add up.

    Advances the running logits of :obj:`pair` by one layer: in place where no gradient is needed, so
    that a forward pass holds two :math:`n \times n` tensors per head, whatever the number of layers.

    Args:
        pair (PairRepresentation): The pair representation of the layers before this one.
        query (torch.Tensor): The queries :math:`(N, H, d)`.
        key (torch.Tensor): The keys :math:`(N, H, d)`.
        value (torch.Tensor): The values :math:`(N, H, d)`.
        dropout (float, optional): Dropout of the attention weights. (default: :obj:`0.0`)

    Returns:
        The attended values :math:`(N, H, d)`.
    """
    if pair.logits is None:
        pair.logits, pair.num_in_logits = pair.dense_bias(), 0
    for layer in range(pair.num_in_logits, pair.num_layers):  # Of another evaluator.
        q, k = pair.queries[layer], pair.keys[layer]
        pair.logits = pair.logits + q.size(-1) ** -0.5 * pair.pad(q) @ pair.pad(k).transpose(-1, -2)
    pair.num_in_logits = pair.num_layers + 1
    size = (-1, pair.max_nodes, pair.max_nodes)
    logits = pair.logits.view(size)
    query, key, value = (pair.pad(x).flatten(0, 1) for x in (query, key, value))

    scale = query.size(-1) ** -0.5
    if torch.is_grad_enabled() and (logits.requires_grad or query.requires_grad):
        logits = torch.baddbmm(logits, query, key.transpose(1, 2), alpha=scale)
    else:
        logits = logits.baddbmm_(query, key.transpose(1, 2), alpha=scale)
    pair.logits = logits.view(pair.heads, pair.num_subpatches, *size[1:])

    alpha = F.dropout(logits.softmax(dim=-1), p=dropout, training=dropout > 0)
    out = torch.bmm(alpha, value)
    return pair.unpad(out.view(pair.heads, pair.num_subpatches, pair.max_nodes, -1))
