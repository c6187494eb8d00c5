import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stofm_pyg.nn._full_precision import full_precision
from stofm_pyg.nn.attention.block_attention import block_attention, block_attention_backward
from stofm_pyg.nn.attention.block_logits import BlockLogits
from stofm_pyg.nn.attention.fused_attention import fused_attention


class BlockedAttention(torch.autograd.Function):
    r"""One layer of attention that keeps no logits, neither forwards, block by block or fused, nor
    backwards, block by block.

    Takes the bias of edges :math:`(H, |\mathcal{E}| / 2)` and of far pairs :math:`(H)`, values
    :math:`(H, N, d)`, and the scaled queries, then the keys, of all layers up to this one, each
    :math:`(H, N, d)`; returns the attended values :math:`(H, N, d)`.
    """

    @staticmethod
    def forward(
        ctx, bias, far, value, logits: BlockLogits, fused: bool, dropout: float, seed: int,
        *queries_and_keys,
    ):  # fmt: skip
        layer = len(queries_and_keys) // 2
        logits.append(queries_and_keys[layer - 1], queries_and_keys[-1])
        if fused:
            out = fused_attention(logits, layer, value.detach())
        else:
            out = block_attention(logits, layer, value, dropout, seed)
        ctx.save_for_backward(value)
        ctx.logits, ctx.layer, ctx.dropout, ctx.seed = logits, layer, dropout, seed
        return out

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx, grad_out: Tensor):
        (value,) = ctx.saved_tensors
        grad_bias, grad_far, grad_value, grad_queries, grad_keys = blocked_attention_backward(
            ctx.logits, ctx.layer, value, grad_out, ctx.dropout, ctx.seed
        )
        return grad_bias, grad_far, grad_value, None, None, None, None, *grad_queries, *grad_keys


def blocked_attention_backward(
    logits: BlockLogits,
    layer: int,
    value: Tensor,
    grad_out: Tensor,
    dropout: float = 0.0,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    r"""The gradients of bias, far pairs and values, and of each layer's queries and keys."""
    key = logits.stacked_keys(layer)
    grad_bias = torch.zeros_like(logits.bias)
    grad_far = torch.zeros_like(logits.far, dtype=torch.float64)
    grad_query, grad_key = torch.empty_like(key), torch.zeros_like(key)

    def visit(number, block, grad):
        grad_query[:, block.rows] = torch.bmm(grad, key[:, block.keys])
        grad_key[:, block.keys].baddbmm_(grad.mT, logits.stacked_queries(layer, block.rows))
        # Gradients of a softmax sum to zero: what the near pairs have, the far ones lack.
        grad_far.sub_(logits.bias_gradient(block, grad, grad_bias))

    grad_value = block_attention_backward(logits, layer, value, grad_out, visit, dropout, seed)
    channels = [x.size(-1) for x in logits.queries[:layer]]
    grad_query, grad_key = grad_query.split(channels, dim=-1), grad_key.split(channels, dim=-1)
    return grad_bias, grad_far.to(logits.far.dtype), grad_value, grad_query, grad_key
