from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.nn._checks import check_nodes
from stofm_pyg.nn.attention._most_bytes import most_bytes
from stofm_pyg.nn.attention.block_logits import BlockLogits
from stofm_pyg.nn.attention.row_blocks import BLOCK_BYTES, BLOCK_SHARE, row_blocks
from stofm_pyg.nn.node_type import NodeType


class PairRepresentation:
    r"""The pair representation of the SE(2) Transformer, never stored as a matrix.

    The logits of layer :math:`l` add up along the layers, so that after :math:`L` layers

    .. math::
        \mathbf{S}_L = \mathbf{B} + \frac{1}{\sqrt{d}} \sum_{l=1}^{L} \mathbf{Q}_l \mathbf{K}_l^{\top}

    with a bias :math:`\mathbf{B}` that is sparse plus a constant: :math:`\mathbf{B}_{ij}` is the
    encoded distance where :math:`j \to i` is an edge, one constant per head where it is not, and zero
    on the diagonal and for CLS. Pairs across subpatches do not exist. Whatever is asked for, single
    pairs, rows or the whole, is computed from edges, queries and keys.

    Args:
        edge_index (torch.Tensor): The undirected edges :math:`(2, |\mathcal{E}| / 2)`, each once, the
            smaller node first; self-loops have no effect.
        edge_bias (torch.Tensor): The bias of each of them :math:`(|\mathcal{E}| / 2, H)`, or
            :math:`(|\mathcal{E}|, H)`, that of all edges towards the later node, then of their reverses.
        far (torch.Tensor): The bias of a pair without an edge :math:`(H)`.
        num_nodes (int): The number of nodes in the batch.
        batch (torch.Tensor, optional): The subpatch of each node :math:`(N)`, sorted.
        node_type (torch.Tensor, optional): The :class:`NodeType` of each node :math:`(N)`.
        evaluator (str, optional): How attention evaluates it. (default: :obj:`"auto"`)
    """

    def __init__(
        self,
        edge_index: Tensor,
        edge_bias: Tensor,
        far: Tensor,
        num_nodes: int,
        batch: Tensor | None = None,
        node_type: Tensor | None = None,
        evaluator: str = "auto",
    ):
        check_nodes("batch", batch, num_nodes)
        check_nodes("node_type", node_type, num_nodes)
        self.edge_index = edge_index
        self.edge_bias = edge_bias
        self.far = far
        self.num_nodes = num_nodes
        self.batch = edge_index.new_zeros(num_nodes) if batch is None else batch
        self.node_type = node_type
        self.evaluator = evaluator  # With "auto", the first layer puts its choice here.
        self.is_auto = evaluator == "auto"

        self.queries: list[Tensor] = []
        self.keys: list[Tensor] = []
        # What the dense evaluator hands from layer to layer, see `dense_attention`.
        self.dense_logits: Tensor | None = None

    @property
    def heads(self) -> int:
        return self.far.size(0)

    @property
    def num_layers(self) -> int:
        return len(self.queries)

    @property
    def is_directed(self) -> bool:
        r"""Whether the two directions of an edge have biases of their own."""
        return self.edge_bias.size(0) != self.edge_index.size(1)

    @cached_property
    def sizes(self) -> list[int]:
        r"""The number of nodes of each subpatch."""
        return torch.bincount(self.batch).tolist()

    @cached_property
    def logits(self) -> BlockLogits:
        r"""The logits as attention reads them, without a gradient."""
        size = most_bytes(BLOCK_BYTES, self.far.device, BLOCK_SHARE)
        max_pairs = size // (self.far.element_size() * self.heads)
        blocks = row_blocks(
            self.edge_index, self.sizes, self.node_type, max_pairs, self.is_directed
        )
        bias = self.edge_bias.detach().t().contiguous()
        return BlockLogits(blocks, bias, self.far.detach(), keep=self.evaluator == "dense")

    def append(self, query: Tensor, key: Tensor):
        r"""Adds one more layer's queries, already divided by :math:`\sqrt{d}`, and keys, both
        :math:`(H, N, d)`."""
        self.queries.append(query)
        self.keys.append(key)

    def pairs(self, index: Tensor) -> Tensor:
        r"""The pair representation :math:`(P, H)` of single pairs only; zero for padding.

        Args:
            index (torch.Tensor): The pairs :math:`(2, P)`, written as edges: key, query.
        """
        source, target = index
        if (self.batch[source] != self.batch[target]).any():
            raise ValueError(
                "'index' holds a pair of nodes from two different subpatches, which have no pair "
                "representation; ask for pairs inside one subpatch only"
            )
        out = self._bias(source, target)
        for query, key in zip(self.queries, self.keys, strict=True):
            out = out + (query.index_select(1, target) * key.index_select(1, source)).sum(-1).t()
        return self._without_padding(out, source, target)

    def rows(self, nodes: Tensor) -> Tensor:
        r"""The pair representation :math:`(R, n, H)` of some nodes of one subpatch with all nodes of
        it: query, key; zero for padding.

        Args:
            nodes (torch.Tensor): The nodes :math:`(R)`.
        """
        subpatch = self.batch[nodes]
        if nodes.numel() == 0 or (subpatch != subpatch[0]).any():
            raise ValueError(
                f"'nodes' must be nodes of one subpatch (got {nodes.numel()} nodes of the subpatches "
                f"{subpatch.unique().tolist()}); ask for one subpatch at a time"
            )
        mates = (self.batch == subpatch[0]).nonzero().view(-1)
        target = nodes.repeat_interleave(mates.numel())
        source = mates.repeat(nodes.numel())
        out = self._bias(source, target).view(nodes.numel(), mates.numel(), -1)
        for query, key in zip(self.queries, self.keys, strict=True):
            product = query.index_select(1, nodes) @ key.index_select(1, mates).mT
            out = out + product.permute(1, 2, 0)
        return self._without_padding(out.flatten(0, 1), source, target).view(out.shape)

    def dense(self) -> Tensor:
        r"""The whole pair representation :math:`(B, n, n, H)`: query, key; zero where padded."""
        out, start, most = [], 0, max(self.sizes, default=0)
        for size in self.sizes:
            rows = self.far.new_zeros(0, 0, self.heads)
            if size > 0:
                rows = self.rows(torch.arange(start, start + size, device=self.batch.device))
            out.append(F.pad(rows, (0, 0, 0, most - size, 0, most - size)))
            start += size
        return torch.stack(out) if out else self.far.new_zeros(0, 0, 0, self.heads)

    def all_pairs(self) -> Tensor:
        r"""The pairs that attention runs along as edges, sorted by query: all inside a subpatch but
        those whose key is padding."""
        sizes = torch.tensor(self.sizes, dtype=torch.long, device=self.batch.device)
        start = sizes.cumsum(0) - sizes
        repeats = sizes[self.batch]
        target = torch.arange(self.num_nodes, device=repeats.device).repeat_interleave(repeats)
        offset = repeats.cumsum(0) - repeats
        source = torch.arange(target.numel(), device=repeats.device) - offset[target]
        index = torch.stack([source + start[self.batch[target]], target])
        return index if self.node_type is None else index[:, ~self._is(NodeType.PADDING, index[0])]

    def _is(self, kind: NodeType, *nodes: Tensor) -> Tensor:
        of_kind = self.node_type == kind
        out = of_kind[nodes[0]]
        for node in nodes[1:]:
            out = out | of_kind[node]
        return out

    def _without_padding(self, out: Tensor, source: Tensor, target: Tensor) -> Tensor:
        if self.node_type is None:
            return out
        return out.masked_fill(self._is(NodeType.PADDING, source, target).unsqueeze(-1), 0.0)

    @cached_property
    def _sorted_edges(self) -> tuple[Tensor, Tensor]:
        return (self.edge_index[0] * self.num_nodes + self.edge_index[1]).sort()

    def _bias(self, source: Tensor, target: Tensor) -> Tensor:
        out = self.far.expand(source.numel(), -1)
        if self.edge_index.size(1) > 0:
            key, perm = self._sorted_edges
            low, high = torch.minimum(source, target), torch.maximum(source, target)
            wanted = low * self.num_nodes + high
            found = torch.searchsorted(key, wanted).clamp_(max=key.numel() - 1)
            is_edge = key[found] == wanted
            edge = perm[found]
            if self.is_directed:
                edge = torch.where(source < target, edge, edge + self.edge_index.size(1))
            out = torch.where(is_edge.unsqueeze(-1), self.edge_bias[edge], out)
        is_zero = source == target
        if self.node_type is not None:
            is_zero = is_zero | self._is(NodeType.CLS, source, target)
        return out.masked_fill(is_zero.unsqueeze(-1), 0.0)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(num_nodes={self.num_nodes}, heads={self.heads}, "
            f"num_layers={self.num_layers})"
        )
