import torch
from torch import Tensor

from stofm_pyg.nn.attention.row_blocks import RowBlock


class BlockLogits:
    r"""The logits of any layer, a block of rows at a time.

    .. math::
        \mathbf{S}_l = \mathbf{B} + \sum_{m=1}^{l} \mathbf{Q}_m \mathbf{K}_m^{\top}
        = \mathbf{B} + [\mathbf{Q}_1 \ldots \mathbf{Q}_l] [\mathbf{K}_1 \ldots \mathbf{K}_l]^{\top}

    Either all blocks are kept and moved from layer to layer by adding or taking away a product
    (:math:`H n^2` numbers, one product a layer), or none is and a block is made anew from the
    concatenated queries and keys (memory for one block, :math:`l` products in layer :math:`l`).

    Args:
        blocks (list[RowBlock]): The blocks of rows.
        bias (torch.Tensor): The bias of each undirected edge :math:`(H, |\mathcal{E}| / 2)`, or of its
            directions :math:`(H, |\mathcal{E}|)`.
        far (torch.Tensor): The bias of a pair without an edge :math:`(H)`.
        keep (bool): Keep all blocks.
    """

    def __init__(self, blocks: list[RowBlock], bias: Tensor, far: Tensor, keep: bool):
        self.blocks = blocks
        self.bias = bias
        self.far = far
        self.keep = keep
        self.heads = far.numel()
        self.sizes = [self.heads * rows * keys for rows, keys in (b.shape for b in blocks)]
        self.queries: list[Tensor] = []
        self.keys: list[Tensor] = []
        self._kept: list[Tensor | None] = [None] * len(blocks)
        self._layer = [0] * len(blocks)
        self._buffer: Tensor | None = None
        self._stacked: tuple[int, Tensor] | None = None

    @property
    def num_layers(self) -> int:
        return len(self.queries)

    def append(self, query: Tensor, key: Tensor):
        r"""Adds the scaled queries and the keys :math:`(H, N, d)` of one more layer."""
        self.queries.append(query.detach())
        self.keys.append(key.detach())

    def new_buffer(self) -> Tensor:
        r"""Room for the largest block."""
        return self.far.new_empty(max(self.sizes, default=0))

    def view(self, buffer: Tensor, number: int) -> Tensor:
        r"""The start of a buffer in the shape :math:`(H, R, n)` of a block."""
        return buffer[: self.sizes[number]].view(self.heads, *self.blocks[number].shape)

    def at(self, number: int, layer: int) -> Tensor:
        r"""The logits :math:`(H, R, n)` of a block after some layers, valid until the next call."""
        block = self.blocks[number]
        if self.keep:
            logits = self._kept[number]
            if logits is None:
                logits = self.far.new_empty(self.heads, *block.shape)
                self._kept[number] = self._fill(block, logits)
            while self._layer[number] != layer:
                forth = self._layer[number] < layer
                other = self._layer[number] if forth else self._layer[number] - 1
                query, key = self.queries[other][:, block.rows], self.keys[other][:, block.keys]
                logits.baddbmm_(query, key.mT, alpha=1 if forth else -1)
                self._layer[number] += 1 if forth else -1
            return logits

        logits = self._fill(block, self._room(number))
        if layer > 0:
            query = self.stacked_queries(layer, block.rows)
            logits.baddbmm_(query, self.stacked_keys(layer)[:, block.keys].mT)
        return logits

    def weights(self, number: int, layer: int) -> Tensor:
        r"""The attention weights :math:`(H, R, n)` of a block, valid until the next call."""
        logits = self.at(number, layer)
        return torch.softmax(logits, dim=-1, out=self._room(number) if self.keep else logits)

    def _room(self, number: int) -> Tensor:
        if self._buffer is None:
            self._buffer = self.new_buffer()
        return self.view(self._buffer, number)

    def stacked_queries(self, layer: int, rows: slice) -> Tensor:
        r"""The queries of some nodes in the first layers side by side :math:`(H, R, l \cdot d)`."""
        return torch.cat([query[:, rows] for query in self.queries[:layer]], dim=-1)

    def stacked_keys(self, layer: int) -> Tensor:
        r"""The keys of the first layers side by side :math:`(H, N, l \cdot d)`."""
        if self._stacked is None or self._stacked[0] != layer:
            self._stacked = None  # Not those of two layers at a time in memory.
            self._stacked = (layer, torch.cat(self.keys[:layer], dim=-1))
        return self._stacked[1]

    def _fill(self, block: RowBlock, logits: Tensor) -> Tensor:
        logits.copy_(self.far.view(-1, 1, 1).expand_as(logits))
        flat = logits.view(self.heads, -1)
        flat.index_copy_(1, block.place, self.bias.index_select(1, block.edge))
        if block.zero is not None:
            flat.index_fill_(1, block.zero, 0.0)
        block.diagonal(logits).zero_()
        if block.padding is not None:
            # Not infinite, so that a subpatch of padding alone has no NaN to hand to the parameters.
            logits.index_fill_(2, block.padding, torch.finfo(logits.dtype).min)
        return logits

    def bias_gradient(self, block: RowBlock, grad: Tensor, bias: Tensor) -> Tensor:
        r"""Adds the gradient of the bias of a block's edges to :obj:`bias`, and returns the sum
        :math:`(H)` of the gradient over the pairs that are not far."""
        flat = grad.view(self.heads, -1)
        of_edges = flat.index_select(1, block.place)
        bias.index_add_(1, block.edge, of_edges)
        near = of_edges.sum(1, dtype=torch.float64) + block.diagonal(grad).sum(1, dtype=torch.float64)
        if block.zero is not None:
            near += flat.index_select(1, block.zero).sum(1, dtype=torch.float64)
        return near
