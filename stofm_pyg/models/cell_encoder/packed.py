from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from transformers import BertModel
    from transformers.models.bert.modeling_bert import BertLayer


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
    packed = F.pad(lengths.cumsum(0), (1, 0))
    positions = torch.arange(int(packed[-1])) - packed[:-1].repeat_interleave(lengths)
    index = starts[order].repeat_interleave(lengths) + positions
    sizes, counts = lengths.unique_consecutive(return_counts=True)
    groups = list(zip(counts.tolist(), sizes.tolist(), strict=True))
    return PackedCells(order if cells is None else cells[order], index, positions, packed, groups)


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
    x = _embed(bert, tokens, cells)
    for layer in bert.encoder.layer:
        x = _layer_states(layer, x, cells)
    return x


def first_states(bert: BertModel, tokens: Tensor, cells: PackedCells) -> Tensor:
    r"""As :meth:`packed_states`, for the first token of each cell alone :math:`(N, C)`; the last layer
    is not computed for the others."""
    x = _embed(bert, tokens, cells)
    for layer in bert.encoder.layer[:-1]:
        x = _layer_states(layer, x, cells)
    return _first_layer_states(bert.encoder.layer[-1], x, cells)


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


def _embed(bert: BertModel, tokens: Tensor, cells: PackedCells) -> Tensor:
    positions = cells.positions.unsqueeze(0)
    return bert.embeddings(tokens.unsqueeze(0), position_ids=positions).squeeze(0)


def _layer_states(layer: BertLayer, x: Tensor, cells: PackedCells) -> Tensor:
    attention = layer.attention.self
    size = (attention.num_attention_heads, attention.attention_head_size)
    q, k, v = (lin(x).unflatten(-1, size) for lin in (attention.query, attention.key, attention.value))
    attended = packed_attention(q, k, v, cells, _dropout(attention))
    return _after_attention(layer, x, attended)


def _first_layer_states(layer: BertLayer, x: Tensor, cells: PackedCells) -> Tensor:
    # With one query a head, no token needs a key or a value of its own: instead of all keys, the query
    # is projected, and instead of all values, their attended mean.
    attention = layer.attention.self
    size = (attention.num_attention_heads, attention.attention_head_size)
    key, value = (
        (lin.weight.unflatten(0, size), lin.bias.view(size)) for lin in (attention.key, attention.value)
    )
    first = x[cells.ptr[:-1]]
    query = attention.query(first).unflatten(-1, size) * size[1] ** -0.5
    # The bias of the keys changes no softmax; it is there so that it has a gradient, zero.
    shift = torch.einsum("nhd,hd->nh", query, key[1]).unsqueeze(-1)
    query = torch.einsum("nhd,hdc->nhc", query, key[0])

    means, totals, cell, token = [], [], 0, 0
    for num_cells, length in cells.groups:
        rows = slice(cell, cell + num_cells)
        states = x[token : token + num_cells * length].view(num_cells, length, -1)
        alpha = (query[rows] @ states.transpose(1, 2) + shift[rows]).softmax(dim=-1)
        alpha = F.dropout(alpha, _dropout(attention))
        means.append(alpha @ states)
        totals.append(alpha.sum(dim=-1))
        cell, token = rows.stop, token + num_cells * length
    attended = torch.einsum("nhc,hdc->nhd", torch.cat(means), value[0])
    attended = attended + torch.einsum("nh,hd->nhd", torch.cat(totals), value[1])
    return _after_attention(layer, first, attended.flatten(1))


def _dropout(attention: torch.nn.Module) -> float:
    return attention.dropout.p if attention.training else 0.0


def _after_attention(layer: BertLayer, x: Tensor, attended: Tensor) -> Tensor:
    if layer.training or torch.is_grad_enabled():
        x = layer.attention.output(attended, x)
        return layer.output(layer.intermediate(x), x)
    # Nobody else reads what a linear layer returns, so that it may be overwritten: 7 % faster.
    first, act, second = layer.attention.output, layer.intermediate.intermediate_act_fn, layer.output
    x = first.LayerNorm(first.dense(attended).add_(x))
    hidden = layer.intermediate.dense(x)
    hidden = hidden.relu_() if isinstance(act, torch.nn.ReLU) else act(hidden)
    return second.LayerNorm(second.dense(hidden).add_(x))
