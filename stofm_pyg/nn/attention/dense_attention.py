import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stofm_pyg.nn._full_precision import full_precision
from stofm_pyg.nn.attention.block_attention import block_attention, block_attention_backward
from stofm_pyg.nn.attention.block_logits import BlockLogits

# The logits of a layer are in autograd's graph without being stored there: a tensor of their size, but
# of one number, stands for them, and the gradient that belongs to it is the real one. So the gradient
# of the logits runs from the last layer to the first in one tensor, as the logits do forwards.


def _stand_in(logits: BlockLogits) -> Tensor:
    return logits.far.new_zeros(1).expand(sum(logits.sizes))


class DenseBias(torch.autograd.Function):
    r"""The bias :math:`(H, |\mathcal{E}| / 2)` of edges and of far pairs :math:`(H)` to the logits
    before the first layer."""

    @staticmethod
    def forward(ctx, bias: Tensor, far: Tensor, logits: BlockLogits) -> Tensor:
        ctx.logits = logits
        return _stand_in(logits)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        logits = ctx.logits
        grad_bias = torch.zeros_like(logits.bias)
        grad_far = torch.zeros_like(logits.far, dtype=torch.float64)
        for number, part in enumerate(grad.split(logits.sizes)):
            part = logits.view(part, number)
            grad_far += part.sum(-1).sum(-1, dtype=torch.float64)
            grad_far -= logits.bias_gradient(logits.blocks[number], part, grad_bias)
        return grad_bias, grad_far.to(grad.dtype), None


class DenseAttention(torch.autograd.Function):
    r"""One layer of attention that advances the logits: those of the layer before, scaled queries,
    keys and values :math:`(H, N, d)` to attended values and the logits of this layer."""

    @staticmethod
    def forward(ctx, before, query, key, value, logits: BlockLogits, dropout: float, seed: int):
        logits.append(query, key)
        layer = logits.num_layers
        out = block_attention(logits, layer, value, dropout, seed)
        ctx.save_for_backward(query, key, value)
        ctx.logits, ctx.layer, ctx.dropout, ctx.seed = logits, layer, dropout, seed
        ctx.set_materialize_grads(False)
        return out, _stand_in(logits)

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx, grad_out: Tensor | None, grad_logits: Tensor | None):
        query, key, value = ctx.saved_tensors
        logits, is_last = ctx.logits, grad_logits is None
        if is_last:
            grad_logits = logits.far.new_empty(sum(logits.sizes))
        parts = grad_logits.split(logits.sizes)
        grad_query, grad_key = torch.empty_like(query), torch.zeros_like(key)

        def visit(number, block, grad):
            part = logits.view(parts[number], number)
            part = part.copy_(grad) if is_last else part.add_(grad)
            grad_query[:, block.rows] = torch.bmm(part, key[:, block.keys])
            grad_key[:, block.keys].baddbmm_(part.mT, query[:, block.rows])

        if grad_out is None:
            grad_out = torch.zeros_like(value)
        grad_value = block_attention_backward(
            logits, ctx.layer, value, grad_out, visit, ctx.dropout, ctx.seed
        )
        return grad_logits, grad_query, grad_key, grad_value, None, None, None
