import torch
from torch import Tensor

from stofm_pyg.nn.attention.block_attention import block_attention
from stofm_pyg.nn.attention.blocked_attention import blocked_attention_backward
from stofm_pyg.nn.pair_representation import PairRepresentation

# What `torch.compile` cannot look into, since the blocks follow from the data: two operators of tensors
# alone, equal to `BlockedAttention`.


def compiled_attention(pair: PairRepresentation, value: Tensor, dropout: float, seed: Tensor) -> Tensor:
    r"""Attention of the last layer that was appended to :obj:`pair`, inside of :meth:`torch.compile`.

    Returns:
        The attended values :math:`(H, N, d)`.
    """
    return torch.ops.stofm_pyg.blocked_attention(
        pair.edge_index, pair.edge_bias, pair.far, pair.batch, pair.node_type, value,
        pair.queries, pair.keys, dropout, seed,
    )  # fmt: skip


@torch.library.custom_op("stofm_pyg::blocked_attention", mutates_args=())
def blocked_attention(
    edge_index: Tensor, edge_bias: Tensor, far: Tensor, batch: Tensor, node_type: Tensor | None,
    value: Tensor, queries: list[Tensor], keys: list[Tensor], dropout: float, seed: Tensor,
) -> Tensor:  # fmt: skip
    pair = _pair(edge_index, edge_bias, far, batch, node_type, queries, keys)
    return block_attention(pair.logits, len(queries), value, dropout, int(seed))


@blocked_attention.register_fake
def _(edge_index, edge_bias, far, batch, node_type, value, queries, keys, dropout, seed):
    return torch.empty_like(value)


@torch.library.custom_op("stofm_pyg::blocked_attention_backward", mutates_args=())
def blocked_attention_gradients(
    edge_index: Tensor, edge_bias: Tensor, far: Tensor, batch: Tensor, node_type: Tensor | None,
    value: Tensor, queries: list[Tensor], keys: list[Tensor], dropout: float, seed: Tensor,
    grad_out: Tensor,
) -> list[Tensor]:  # fmt: skip
    pair = _pair(edge_index, edge_bias, far, batch, node_type, queries, keys)
    grad_bias, *grads, grad_queries, grad_keys = blocked_attention_backward(
        pair.logits, len(queries), value, grad_out, dropout, int(seed)
    )
    grads = [grad_bias.t(), *grads, *grad_queries, *grad_keys]
    return [grad.contiguous() for grad in grads]


@blocked_attention_gradients.register_fake
def _(
    edge_index, edge_bias, far, batch, node_type, value, queries, keys, dropout, seed, grad_out
):  # fmt: skip
    inputs = (edge_bias, far, value, *queries, *keys)
    return [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in inputs]


def _pair(edge_index, edge_bias, far, batch, node_type, queries, keys) -> PairRepresentation:
    pair = PairRepresentation(edge_index, edge_bias, far, batch.numel(), batch, node_type, "blocked")
    for query, key in zip(queries, keys, strict=True):
        pair.logits.append(query, key)
    return pair


def _save(ctx, inputs, output):
    *tensors, queries, keys, dropout, seed = inputs
    ctx.save_for_backward(*tensors, *queries, *keys, seed)
    ctx.num_layers, ctx.dropout = len(queries), dropout


def _backward(ctx, grad_out: Tensor):
    *tensors, seed = ctx.saved_tensors
    tensors, layers, num_layers = tensors[:6], tensors[6:], ctx.num_layers
    grad_bias, grad_far, grad_value, *grads = torch.ops.stofm_pyg.blocked_attention_backward(
        *tensors, layers[:num_layers], layers[num_layers:], ctx.dropout, seed, grad_out
    )
    return (
        None, grad_bias, grad_far, None, None, grad_value,
        grads[:num_layers], grads[num_layers:], None, None,
    )  # fmt: skip


blocked_attention.register_autograd(_backward, setup_context=_save)
