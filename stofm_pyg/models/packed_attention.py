import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.models.packed_cells import PackedCells


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, cells: PackedCells, dropout: float = 0.0
) -> Tensor:
    r"""Attention of each cell's tokens to one another, without padding and without a mask.

    On a CPU, cells of one length go together. On a GPU, cells of unlike length go into one kernel for
    sequences of variable length.

    Args:
        query (torch.Tensor): The queries :math:`(T, H, d)`.
        key (torch.Tensor): The keys :math:`(T, H, d)`.
        value (torch.Tensor): The values :math:`(T, H, d)`.
        cells (PackedCells): Which tokens are whose.
        dropout (float, optional): Dropout of the attention weights. (default: :obj:`0.0`)

    Returns:
        The attended values :math:`(T, H \cdot d)`.
    """
    if query.is_cuda and len(cells.groups) > 1:
        return jagged_attention(query, key, value, cells, dropout)
    out, start = [], 0
    for num_cells, length in cells.groups:
        rows = slice(start, start + num_cells * length)
        start = rows.stop
        q, k, v = (
            x[rows].unflatten(0, (num_cells, length)).transpose(1, 2) for x in (query, key, value)
        )
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        out.append(attended.transpose(1, 2).reshape(num_cells * length, -1))
    return out[0] if len(out) == 1 else torch.cat(out)


def jagged_attention(
    query: Tensor, key: Tensor, value: Tensor, cells: PackedCells, dropout: float = 0.0
) -> Tensor:
    r"""As :meth:`packed_attention`, by PyTorch's jagged tensors: FlashAttention of sequences of variable
    length in half precision, memory-efficient attention in single, both on CUDA."""
    shortest, longest = cells.groups[0][1], cells.groups[-1][1]
    q, k, v = (
        torch.nested.nested_tensor_from_jagged(
            x.contiguous(), cells.ptr, min_seqlen=shortest, max_seqlen=longest
        ).transpose(1, 2)
        for x in (query, key, value)
    )
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return out.transpose(1, 2).values().flatten(1)
