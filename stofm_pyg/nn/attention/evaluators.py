import torch
from torch import Tensor

from stofm_pyg.nn.attention._most_bytes import most_bytes
from stofm_pyg.nn.attention.blocked_attention import BlockedAttention
from stofm_pyg.nn.attention.compiled_attention import compiled_attention
from stofm_pyg.nn.attention.dense_attention import DenseAttention, DenseBias
from stofm_pyg.nn.attention.fused_attention import MAX_CHANNELS
from stofm_pyg.nn.pair_representation import PairRepresentation

EVALUATORS = ("auto", "dense", "blocked", "fused", "edgewise")
# The most that the dense evaluator may keep, of logits and, in training, of their gradient.
DENSE_BYTES = {"cpu": 256 * 2**20, "cuda": 8 * 2**30}
DENSE_SHARE = 8  # Of the memory of a small GPU.


def choose_evaluator(pair: PairRepresentation, requires_grad: bool, dropout: float = 0.0) -> str:
    r"""The evaluator that suits a batch: the dense one as long as its logits are small, else the fused
    one where a forward pass on CUDA is all that is wanted, else the blocked one."""
    pairs = sum(size**2 for size in pair.sizes)
    needed = pairs * pair.heads * pair.far.element_size() * (2 if requires_grad else 1)
    device = pair.far.device.type
    if needed <= most_bytes(DENSE_BYTES, pair.far.device, DENSE_SHARE):
        return "dense"
    return "fused" if device == "cuda" and not requires_grad and dropout == 0 else "blocked"


def attend(
    pair: PairRepresentation, query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0
) -> Tensor:
    r"""Advances the pair representation by a layer and attends under its logits.

    Args:
        pair (PairRepresentation): The pair representation of the layers before this one.
        query (torch.Tensor): The queries :math:`(H, N, d)`, already divided by :math:`\sqrt{d}`.
        key (torch.Tensor): The keys :math:`(H, N, d)`.
        value (torch.Tensor): The values :math:`(H, N, d)`.
        dropout (float, optional): Dropout of the attention weights. (default: :obj:`0.0`)

    Returns:
        The attended values :math:`(H, N, d)`.
    """
    pair.append(query, key)
    if torch.compiler.is_compiling():
        return compiled_attention(pair, value, dropout, torch.randint(2**62, (1,)))
    if pair.evaluator == "auto":
        requires_grad = torch.is_grad_enabled() and (query.requires_grad or pair.far.requires_grad)
        pair.evaluator = choose_evaluator(pair, requires_grad, dropout)

    seed = int(torch.randint(2**62, (1,))) if dropout > 0 else 0
    bias = pair.edge_bias.t()
    if pair.evaluator == "dense":
        if pair.dense_logits is None:
            pair.dense_logits = DenseBias.apply(bias, pair.far, pair.logits)
        out, pair.dense_logits = DenseAttention.apply(
            pair.dense_logits, query, key, value, pair.logits, dropout, seed
        )
        return out
    fused = pair.evaluator == "fused" and dropout == 0
    if fused and pair.is_auto and sum(query.size(-1) for query in pair.queries) > MAX_CHANNELS:
        fused = False  # Whoever did not ask for it by name gets the next best.
    return BlockedAttention.apply(
        bias, pair.far, value, pair.logits, fused, dropout, seed, *pair.queries, *pair.keys
    )
