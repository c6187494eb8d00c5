from collections.abc import Callable

import torch
from torch import Tensor

from stofm_pyg.nn.attention.block_logits import BlockLogits
from stofm_pyg.nn.attention.row_blocks import RowBlock

softmax_backward = torch.ops.aten._softmax_backward_data.out


def block_attention(
    logits: BlockLogits, layer: int, value: Tensor, dropout: float = 0.0, seed: int = 0
) -> Tensor:
    r"""Attention of one layer, block by block, without a gradient.

    Args:
        logits (BlockLogits): The logits.
        layer (int): The number of layers whose products are in the logits.
        value (torch.Tensor): The values :math:`(H, N, d)`.
        dropout (float, optional): Dropout of the attention weights. (default: :obj:`0.0`)
        seed (int, optional): The seed of dropout. (default: :obj:`0`)

    Returns:
        The attended values :math:`(H, N, d)`.
    """
    out = torch.empty_like(value)
    for number, block in enumerate(logits.blocks):
        alpha = logits.weights(number, layer)
        if dropout > 0:
            alpha *= _dropout_mask(alpha, dropout, seed + number)
        out[:, block.rows] = torch.bmm(alpha, value[:, block.keys])
    return out


def block_attention_backward(
    logits: BlockLogits,
    layer: int,
    value: Tensor,
    grad_out: Tensor,
    visit: Callable[[int, RowBlock, Tensor], object],
    dropout: float = 0.0,
    seed: int = 0,
) -> Tensor:
    r"""The gradient of :meth:`block_attention`, which computes the attention weights again.

    Args:
        logits (BlockLogits): The logits.
        layer (int): The layer.
        value (torch.Tensor): The values :math:`(H, N, d)`.
        grad_out (torch.Tensor): The gradient of what :meth:`block_attention` returned.
        visit (Callable): Called with the number of a block, the block, and the gradient
            :math:`(H, R, n)` of its logits, which the next block overwrites.
        dropout (float, optional): As in the forward pass. (default: :obj:`0.0`)
        seed (int, optional): As in the forward pass. (default: :obj:`0`)

    Returns:
        The gradient of the values :math:`(H, N, d)`.
    """
    grad_value = torch.zeros_like(value)
    buffer = logits.new_buffer()
    for number, block in enumerate(logits.blocks):
        alpha, grad_rows = logits.weights(number, layer), grad_out[:, block.rows]
        grad = torch.bmm(grad_rows, value[:, block.keys].mT, out=logits.view(buffer, number))
        dropped = alpha
        if dropout > 0:
            mask = _dropout_mask(alpha, dropout, seed + number)
            grad *= mask
            dropped = alpha * mask
        grad_value[:, block.keys].baddbmm_(dropped.mT, grad_rows)
        # The sum over keys is taken from these very numbers, not from the output, so that the gradients
        # of a row sum to zero as exactly as they can.
        softmax_backward(grad, alpha, -1, alpha.dtype, grad_input=grad)
        visit(number, block, grad)
    return grad_value


def _dropout_mask(alpha: Tensor, dropout: float, seed: int) -> Tensor:
    if dropout >= 1:
        return torch.zeros_like(alpha)
    generator = torch.Generator(alpha.device).manual_seed(seed)
    mask = torch.empty_like(alpha).bernoulli_(1 - dropout, generator=generator)
    return mask.div_(1 - dropout)
