from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.models.packed_attention import packed_attention
from stofm_pyg.models.packed_cells import PackedCells

if TYPE_CHECKING:
    from transformers.models.bert.modeling_bert import BertLayer


class FoldedLayer:
    r"""The weights of a layer of a BERT, arranged so that inference goes over its tensors less often.
    What it computes is the same, up to rounding:

    * queries, keys and values are one projection. The bias of the keys adds the same to all logits of
      a query, so that the softmax does not see it. As attention weights add up to one, the bias of the
      values passes through them, and is added after the output projection.
    * residuals are added by the matrix product that they are added to. The bias of the second linear
      layer comes in with the normalisation before, and what the first one would see of it is taken off
      its bias.

    Args:
        layer (BertLayer): The layer.
        device (torch.device): Where to compute.
        dtype (torch.dtype): In what to compute.
    """

    def __init__(self, layer: BertLayer, device: torch.device, dtype: torch.dtype):
        attention, out = layer.attention.self, layer.attention.output
        lin1, lin2 = layer.intermediate.dense, layer.output.dense
        parts = (attention.query, attention.key, attention.value)

        def wide(x: Tensor) -> Tensor:  # In double precision, folding adds no error of its own.
            return x.detach().cpu().double()

        def put(x: Tensor) -> Tensor:
            return x.detach().to(device, dtype).contiguous()

        b_out = wide(out.dense.bias) + wide(out.dense.weight) @ wide(attention.value.bias)
        b_lin1 = wide(lin1.bias) - wide(lin1.weight) @ wide(lin2.bias)
        b_norm1 = wide(out.LayerNorm.bias) + wide(lin2.bias)

        self.heads: int = attention.num_attention_heads
        self.act: Callable[[Tensor], Tensor] = layer.intermediate.intermediate_act_fn
        if isinstance(self.act, torch.nn.ReLU):
            self.act = torch.relu_
        self.w_qkv = put(torch.cat([part.weight for part in parts]))
        self.b_query = put(attention.query.bias)
        self.w_out, self.b_out = put(out.dense.weight), put(b_out)
        self.norm1 = (put(out.LayerNorm.weight), put(b_norm1), out.LayerNorm.eps)
        self.w1, self.b1, self.w2 = put(lin1.weight), put(b_lin1), put(lin2.weight)
        norm2 = layer.output.LayerNorm
        self.norm2 = (put(norm2.weight), put(norm2.bias), norm2.eps)

    def project(self, x: Tensor) -> Tensor:
        r"""The queries, keys and values of all tokens :math:`(T, 3 C)`."""
        qkv = x @ self.w_qkv.t()
        qkv[:, : x.size(-1)].add_(self.b_query)
        return qkv

    def __call__(self, x: Tensor, qkv: Tensor, cells: PackedCells) -> Tensor:
        r"""The states of all tokens :math:`(T, C)`; :obj:`x` is overwritten."""
        q, k, v = qkv.view(x.size(0), 3, self.heads, -1).unbind(1)
        return self._finish(x, packed_attention(q, k, v, cells))

    def first_tokens(self, x: Tensor, cells: PackedCells) -> Tensor:
        r"""The states of the first token of each cell :math:`(N, C)`.

        With one query a head, no token needs a key or a value: instead of all keys, the query is
        projected, and instead of all values, their attended mean.
        """
        w_query, w_key, w_value = self.w_qkv.view(3, self.heads, -1, x.size(-1))
        first = x[cells.ptr[:-1]]
        query = F.linear(first, w_query.flatten(0, 1), self.b_query).unflatten(-1, (self.heads, -1))
        query = torch.einsum("nhd,hdc->nhc", query, w_key) * query.size(-1) ** -0.5

        means, cell, token = [], 0, 0
        for num_cells, length in cells.groups:
            states = x[token : token + num_cells * length].view(num_cells, length, -1)
            logits = query[cell : cell + num_cells] @ states.transpose(1, 2)
            means.append(logits.softmax(dim=-1) @ states)
            cell, token = cell + num_cells, token + num_cells * length
        attended = torch.einsum("nhc,hdc->nhd", torch.cat(means), w_value)
        return self._finish(first, attended.flatten(1))

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        channels = (x.size(-1),)
        x = F.layer_norm(x.add_(self.b_out).addmm_(attended, self.w_out.t()), channels, *self.norm1)
        hidden = self.act(F.linear(x, self.w1, self.b1))
        return F.layer_norm(x.addmm_(hidden, self.w2.t()), channels, *self.norm2)
