from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.models.cell_encoder.packed import PackedCells, packed_attention

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


class ProjectedEmbeddings:
    r"""The embeddings of tokens at their positions, and a linear layer of them, from tables.

    With the embedding :math:`\mathbf{e}_t` of a token, :math:`\mathbf{p}_i` of a position, both less
    their mean, and the standard deviation :math:`\sigma_{ti}` of their sum, normalisation and linear
    layer are

    .. math::
        \mathbf{W} (\mathbf{g} \odot \frac{\mathbf{e}_t + \mathbf{p}_i}{\sigma_{ti}} + \mathbf{b}) =
        \frac{1}{\sigma_{ti}} (\mathbf{W}_g \mathbf{e}_t + \mathbf{W}_g \mathbf{p}_i) + \mathbf{W}
        \mathbf{b}

    so that tokens and positions are projected once each, not once for each token of each cell.

    Args:
        words (torch.Tensor): The embeddings of tokens :math:`(V, C)`.
        positions (torch.Tensor): The embeddings of positions :math:`(L, C)`.
        norm (tuple): Weight, bias and epsilon of the normalisation.
        weight (torch.Tensor): The weight of the linear layer :math:`(D, C)`.
        bias (torch.Tensor): The bias of its first outputs; the others have none.
    """

    def __init__(
        self,
        words: Tensor,
        positions: Tensor,
        norm: tuple[Tensor, Tensor, float],
        weight: Tensor,
        bias: Tensor,
    ):
        self.words, self.positions, self.norm = words, positions, norm
        scaled = weight * norm[0]
        tables = [F.linear(x - x.mean(dim=-1, keepdim=True), scaled) for x in (words, positions)]
        constant = F.linear(norm[1], weight)
        constant[: bias.size(0)] += bias
        self.table = torch.cat([*tables, constant.unsqueeze(0)])

    def __call__(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        r"""Embeds tokens.

        Args:
            tokens (torch.Tensor): The tokens :math:`(T)`.
            positions (torch.Tensor): Their positions :math:`(T)`.

        Returns:
            The embeddings :math:`(T, C)` and their projections :math:`(T, D)`.
        """
        x = F.embedding(tokens, self.words).add_(F.embedding(positions, self.positions))
        x, _, scale = torch.native_layer_norm(x, (x.size(-1),), *self.norm)
        rows = torch.empty(tokens.numel(), 3, dtype=torch.int32)
        rows[:, 0], rows[:, 1] = tokens, positions + self.words.size(0)
        rows[:, 2] = self.table.size(0) - 1
        scales = torch.ones(rows.shape, dtype=x.dtype)
        scales[:, :2] = scale.view(-1, 1)
        return x, F.embedding_bag(rows, self.table, mode="sum", per_sample_weights=scales)


if TYPE_CHECKING:
    from transformers import BertModel


class FoldedEncoder:
    r"""Embeds packed cells with a copy of the weights of a BERT and a pooling layer that is arranged
    for inference: see :class:`FoldedLayer`, and :class:`ProjectedEmbeddings` for what the first layer
    begins with on a CPU. The last layer is computed for the first tokens alone.

    Args:
        bert (BertModel): The model.
        proj (torch.nn.Linear): What is applied to the state of the first token of each cell.
        tokens (torch.Tensor): Tokens among which are all that there will be.
        device (torch.device): Where to compute.
        dtype (torch.dtype): In what to compute.
    """

    def __init__(
        self,
        bert: BertModel,
        proj: torch.nn.Linear,
        tokens: Tensor,
        device: torch.device,
        dtype: torch.dtype,
    ):
        def put(x: Tensor) -> Tensor:
            return x.detach().to(device, dtype)

        embeddings, norm = bert.embeddings, bert.embeddings.LayerNorm
        self.device = device
        self.out_channels = proj.out_features
        self.proj = (put(proj.weight), put(proj.bias))
        self.layers = [FoldedLayer(layer, device, dtype) for layer in bert.encoder.layer]

        words = embeddings.word_embeddings.weight
        used = torch.bincount(tokens, minlength=words.size(0)).nonzero().view(-1)
        self.rows = torch.full((words.size(0),), -1)
        self.rows[used] = torch.arange(used.numel())
        self.words = put(words[used.to(words.device)])
        positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self.positions = put(positions)
        self.norm = (put(norm.weight), put(norm.bias), norm.eps)
        self.projected = None
        if device.type == "cpu" and dtype == torch.float32 and len(self.layers) > 1:
            self.projected = ProjectedEmbeddings(
                self.words, self.positions, self.norm, self.layers[0].w_qkv, self.layers[0].b_query
            )

    @torch.no_grad()
    def __call__(self, tokens: Tensor, cells: PackedCells) -> Tensor:
        r"""Embeds a batch.

        Args:
            tokens (torch.Tensor): The packed tokens :math:`(T)`, on the CPU.
            cells (PackedCells): Which tokens are whose.

        Returns:
            The embeddings :math:`(N, C)`, float32 and of length one, in the order of the batch.
        """
        words = self.rows[tokens].to(self.device, non_blocking=True)
        cells = cells.to(self.device)
        if self.projected is not None:
            x, qkv = self.projected(words, cells.positions)
        else:
            x = F.embedding(words, self.words).add_(F.embedding(cells.positions, self.positions))
            x, qkv = F.layer_norm(x, (x.size(-1),), *self.norm), None
        for layer in self.layers[:-1]:
            x, qkv = layer(x, layer.project(x) if qkv is None else qkv, cells), None
        x = self.layers[-1].first_tokens(x, cells)
        return F.normalize(F.linear(x, *self.proj).float(), dim=-1)
