from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PackedCells(NamedTuple):
    r"""Where things are in a batch of cells that are packed one after another without padding, shorter
    cells first, so that cells of one length are neighbours."""

    #: The cells, shortest first :math:`(N)`.
    cells: Tensor
    #: Where each packed token is among the tokens of all cells :math:`(T)`.
    index: Tensor
    #: The rank of each token in its cell :math:`(T)`.
    positions: Tensor
    #: Where each packed cell begins and the last one ends :math:`(N + 1)`.
    ptr: Tensor
    #: How many cells there are of each length, and the length.
    groups: list[tuple[int, int]]

    def to(self, device: torch.device) -> PackedCells:
        r"""Moves the tensors to a device."""
        return PackedCells(*(part.to(device, non_blocking=True) for part in self[:4]), self.groups)


def pack_cells(ptr: Tensor, cells: Tensor | None = None) -> PackedCells:
    r"""Packs some cells of many.

    Args:
        ptr (torch.Tensor): Where each of the many cells begins and the last one ends, int64, on the CPU.
        cells (torch.Tensor, optional): The cells to pack; all if :obj:`None`. (default: :obj:`None`)
    """
    starts = ptr[:-1] if cells is None else ptr[cells]
    lengths = ptr.diff() if cells is None else ptr[cells + 1] - starts
    lengths, order = lengths.sort(stable=True)
    packed = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    positions = torch.arange(int(packed[-1])) - packed[:-1].repeat_interleave(lengths)
    index = starts[order].repeat_interleave(lengths) + positions
    sizes, counts = lengths.unique_consecutive(return_counts=True)
    groups = list(zip(counts.tolist(), sizes.tolist(), strict=True))
    return PackedCells(order if cells is None else cells[order], index, positions, packed, groups)


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


if TYPE_CHECKING:
    from transformers import BertModel


def packed_states(bert: BertModel, tokens: Tensor, cells: PackedCells) -> Tensor:
    r"""The output of a BERT for each token of a batch without padding; differentiable, with dropout
    while the model is in training.

    All but attention works on one token at a time, so that the modules of
    :class:`~transformers.BertModel` take packed tokens as they are.

    Args:
        bert (BertModel): The model.
        tokens (torch.Tensor): The packed tokens :math:`(T)`.
        cells (PackedCells): Which tokens are whose.

    Returns:
        The states of the packed tokens :math:`(T, C)`.
    """
    x = bert.embeddings(tokens.unsqueeze(0), position_ids=cells.positions.unsqueeze(0)).squeeze(0)
    for layer in bert.encoder.layer:
        attention = layer.attention.self
        size = (attention.num_attention_heads, attention.attention_head_size)
        q, k, v = (
            lin(x).unflatten(-1, size) for lin in (attention.query, attention.key, attention.value)
        )
        dropout = attention.dropout.p if attention.training else 0.0
        x = layer.attention.output(packed_attention(q, k, v, cells, dropout), x)
        x = layer.output(layer.intermediate(x), x)
    return x
