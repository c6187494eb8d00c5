from typing import NamedTuple

import torch
from torch import Tensor

from stofm_pyg.nn.node_type import NodeType

# A block of logits should stay in a core's second-level cache on a CPU, and fill a GPU; a backward pass
# holds about four of them.
BLOCK_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}
BLOCK_SHARE = 64  # Of the memory of a small GPU.
MIN_ROWS = 128


class RowBlock(NamedTuple):
    r"""Some rows of the logits of one subpatch: queries :obj:`rows` by keys :obj:`keys`, both as ranges
    of nodes. A pair's place is :obj:`row * num_keys + column`, counted inside the block."""

    rows: slice
    keys: slice
    #: The places of the pairs that are edges.
    place: Tensor
    #: The bias at each of these places: that of the undirected edge, or of its direction.
    edge: Tensor
    #: The places of the pairs with CLS, whose bias is zero; :obj:`None` without CLS.
    zero: Tensor | None
    #: The columns of padding, which nothing attends to; :obj:`None` without padding.
    padding: Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.keys.stop - self.keys.start

    def diagonal(self, logits: Tensor) -> Tensor:
        r"""The pairs of a node with itself in the logits :math:`(H, R, n)` of this block."""
        return logits.diagonal(self.rows.start - self.keys.start, dim1=1, dim2=2)


def row_blocks(
    edge_index: Tensor,
    sizes: list[int],
    node_type: Tensor | None,
    max_pairs: int,
    directed: bool = False,
) -> list[RowBlock]:
    r"""Cuts the pairs inside the subpatches into blocks of rows and deals the edges to them.

    Args:
        edge_index (torch.Tensor): The undirected edges :math:`(2, |\mathcal{E}| / 2)`, each once.
        sizes (list[int]): The number of nodes of each subpatch.
        node_type (torch.Tensor, optional): The :class:`NodeType` of each node :math:`(N)`.
        max_pairs (int): The most pairs in a block, as long as it has more than a few rows.
        directed (bool, optional): Whether the two directions of an edge have biases of their own, those
            towards the later nodes first. (default: :obj:`False`)
    """
    device = edge_index.device
    rows, keys, start = [], [], 0
    for size in sizes:
        stop = start + size
        step = max(max_pairs // max(size, 1), MIN_ROWS)
        step = -(-size // -(-size // step)) if size else 1  # Blocks of like size.
        for first in range(start, stop, step):
            rows.append(slice(first, min(first + step, stop)))
            keys.append(slice(start, stop))
        start = stop
    num_rows = [block.stop - block.start for block in rows]
    num_rows = torch.tensor(num_rows, dtype=torch.long, device=device)
    small = torch.int16 if len(rows) < 2**15 else torch.int64  # Sorted three times as fast.
    number = torch.arange(len(rows), dtype=small, device=device)
    number = number.repeat_interleave(num_rows, output_size=start)

    is_cls = _nodes_of(node_type, NodeType.CLS)
    is_padding = _nodes_of(node_type, NodeType.PADDING)

    # The diagonal, CLS and padding have biases of their own.
    edge = torch.arange(edge_index.size(1), device=device)
    biased = edge_index[0] != edge_index[1]
    for special in (is_cls, is_padding):
        if special is not None:
            biased &= ~special.index_select(0, edge_index.flatten()).view(2, -1).any(0)
    if not bool(biased.all()):
        edge = edge[biased]
    low, high = edge_index.index_select(1, edge)

    def deal(row: Tensor, column: Tensor, edge: Tensor | None = None) -> tuple[list, list]:
        block = number.index_select(0, row)
        count = torch.bincount(block, minlength=len(rows)).tolist()
        if len(rows) > 1:
            order = torch.sort(block, stable=True)[1]
            row, column = row.index_select(0, order), column.index_select(0, order)
            edge = None if edge is None else edge.index_select(0, order)
        places = [
            (r - part.start).mul_(mates.stop - mates.start).add_(c - mates.start)
            for part, mates, r, c in zip(rows, keys, row.split(count), column.split(count), strict=True)
        ]
        return places, None if edge is None else edge.split(count)

    # Half as wide numbers of edges, since there are so many of them.
    edge = edge.int()
    # A row is a query, where an edge ends.
    both = torch.cat([edge + edge_index.size(1), edge]) if directed else edge.repeat(2)
    place, edge = deal(torch.cat([low, high]), torch.cat([high, low]), both)
    zero = [None] * len(rows)
    if is_cls is not None:
        zero, _ = deal(*_cls_pairs(is_cls, sizes))
    padding = [None] * len(rows)
    if is_padding is not None:
        padding = [is_padding[block].nonzero().view(-1) for block in keys]
    return [RowBlock(*block) for block in zip(rows, keys, place, edge, zero, padding, strict=True)]


def _nodes_of(node_type: Tensor | None, kind: NodeType) -> Tensor | None:
    of_kind = None if node_type is None else node_type == kind
    return of_kind if of_kind is not None and bool(of_kind.any()) else None


def _cls_pairs(is_cls: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    # Every pair that CLS is part of once, other than of a node with itself.
    row, column, start = [], [], 0
    for size in sizes:
        mates = torch.arange(start, start + size, device=is_cls.device)
        for cls in mates[is_cls[start : start + size]]:
            others = mates[mates != cls]
            cells = mates[~is_cls[start : start + size]]
            row += [cls.expand_as(others), cells]
            column += [others, cls.expand_as(cells)]
        start += size
    return torch.cat(row), torch.cat(column)
