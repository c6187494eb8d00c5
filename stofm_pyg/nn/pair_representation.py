import torch
from torch import Tensor

from stofm_pyg.nn.node_type import NodeType


class PairRepresentation:
    r"""The pair representation of the SE(2) Transformer, never stored as a matrix.

    The logits of layer :math:`l` add up along the layers, so that after :math:`L` layers

    .. math::
        \mathbf{S}_L = \mathbf{B} + \frac{1}{\sqrt{d}} \sum_{l=1}^{L} \mathbf{Q}_l \mathbf{K}_l^{\top}

    with a bias :math:`\mathbf{B}` that is sparse plus a constant: :math:`\mathbf{B}_{ij}` is the
    encoded distance where :math:`j \to i` is an edge, one constant per head where it is not, and zero
    on the diagonal and for CLS. Pairs across subpatches do not exist.

    Args:
        edge_index (torch.Tensor): The undirected edges :math:`(2, |\mathcal{E}| / 2)`, each once, the
            smaller node first.
        edge_bias (torch.Tensor): The bias of each of them :math:`(|\mathcal{E}| / 2, H)`.
        far (torch.Tensor): The bias of a pair without an edge :math:`(H)`.
        num_nodes (int): The number of nodes in the batch.
        batch (torch.Tensor, optional): The subpatch of each node :math:`(N)`, sorted.
        node_type (torch.Tensor, optional): The :class:`NodeType` of each node :math:`(N)`.
    """

    def __init__(
        self,
        edge_index: Tensor,
        edge_bias: Tensor,
        far: Tensor,
        num_nodes: int,
        batch: Tensor | None = None,
        node_type: Tensor | None = None,
    ):
        self.edge_index = edge_index
        self.edge_bias = edge_bias
        self.far = far
        self.num_nodes = num_nodes
        self.batch = edge_index.new_zeros(num_nodes) if batch is None else batch
        if (self.batch.diff() < 0).any():
            raise ValueError(
                "'batch' must be sorted, so that the nodes of a subpatch lie side by side; sort the "
                "nodes by it first, as 'torch_geometric.data.Batch' does"
            )
        across = self.batch[edge_index[0]] != self.batch[edge_index[1]]
        if across.any():
            raise ValueError(
                f"The edge {edge_index[:, across][:, 0].tolist()} joins nodes of two different "
                f"subpatches ({int(across.sum())} edges do); remove such edges first"
            )
        self.is_cls = None if node_type is None else node_type == NodeType.CLS

        self.sizes = torch.bincount(self.batch)
        self.num_subpatches = self.sizes.numel()
        self.max_nodes = int(self.sizes.max()) if self.num_subpatches else 0
        start = self.sizes.cumsum(0) - self.sizes
        self.local = torch.arange(num_nodes, device=edge_index.device) - start[self.batch]
        self.is_ragged = self.num_subpatches * self.max_nodes != num_nodes

        self.queries: list[Tensor] = []
        self.keys: list[Tensor] = []
        # The running logits of the dense evaluator: the only n x n tensor, and only if it is used.
        self.logits: Tensor | None = None
        self.num_in_logits = 0

    @property
    def heads(self) -> int:
        return self.far.numel()

    @property
    def num_layers(self) -> int:
        return len(self.queries)

    def append(self, query: Tensor, key: Tensor):
        r"""Adds the queries and keys :math:`(N, H, d)` of one more layer."""
        self.queries.append(query)
        self.keys.append(key)

    def pad(self, x: Tensor) -> Tensor:
        r"""Lays node values :math:`(N, H, d)` out as :math:`(H, B, n, d)`, zero where padded."""
        if not self.is_ragged:
            return x.view(self.num_subpatches, self.max_nodes, *x.shape[1:]).permute(2, 0, 1, 3)
        out = x.new_zeros(self.num_subpatches, self.max_nodes, *x.shape[1:])
        return out.index_put((self.batch, self.local), x).permute(2, 0, 1, 3)

    def unpad(self, x: Tensor) -> Tensor:
        r"""The inverse of :meth:`pad`: :math:`(H, B, n, d)` to :math:`(N, H, d)`."""
        x = x.permute(1, 2, 0, 3)
        return x[self.batch, self.local] if self.is_ragged else x.flatten(0, 1)

    def dense_bias(self) -> Tensor:
        r"""The bias :math:`\mathbf{B}` of shape :math:`(H, B, n, n)`; :math:`-\infty` at padded keys."""
        shape = (self.heads, self.num_subpatches, self.max_nodes, self.max_nodes)
        low, high = self.edge_index
        index = torch.cat([self._flat(low, high), self._flat(high, low)])
        bias = self.far.unsqueeze(-1).expand(-1, shape[1] * shape[2] * shape[3])
        bias = bias.index_copy(1, index, self.edge_bias.t().repeat(1, 2))
        bias = bias.index_fill(1, self._zero_pairs(), 0.0).view(shape)
        if self.is_ragged:
            column = torch.arange(self.max_nodes, device=bias.device)
            bias = bias.masked_fill(column >= self.sizes.view(-1, 1, 1), float("-inf"))
        return bias

    def dense(self) -> Tensor:
        r"""The whole pair representation :math:`(B, n, n, H)`: query, key; zero where padded."""
        logits = self.dense_bias()
        for query, key in zip(self.queries, self.keys, strict=True):
            scale = query.size(-1) ** -0.5
            logits = logits + scale * self.pad(query) @ self.pad(key).transpose(-1, -2)
        valid = torch.arange(self.max_nodes, device=logits.device) < self.sizes.view(-1, 1)
        valid = valid.unsqueeze(1) & valid.unsqueeze(2)
        return logits.masked_fill(~valid, 0.0).permute(1, 2, 3, 0)

    def pairs(self, index: Tensor) -> Tensor:
        r"""The pair representation :math:`(P, H)` of single pairs only.

        Args:
            index (torch.Tensor): The pairs :math:`(2, P)`, written as edges: key, query.
        """
        source, target = index
        if (self.batch[source] != self.batch[target]).any():
            raise ValueError(
                "'index' holds a pair of nodes from two different subpatches, which have no pair "
                "representation; ask for pairs inside one subpatch only"
            )
        if self.logits is not None and self.num_in_logits == self.num_layers:
            logits = self.logits.view(self.heads, -1)
            return logits.index_select(1, self._flat(target, source)).t()
        out = self._pair_bias(source, target)
        for query, key in zip(self.queries, self.keys, strict=True):
            query, key = query.index_select(0, target), key.index_select(0, source)
            out = out + query.size(-1) ** -0.5 * (query * key).sum(-1)
        return out

    def all_pairs(self) -> Tensor:
        r"""All pairs inside the subpatches as edges :math:`(2, \sum_b n_b^2)`, sorted by query."""
        start = self.sizes.cumsum(0) - self.sizes
        repeats = self.sizes[self.batch]
        target = torch.arange(self.num_nodes, device=repeats.device).repeat_interleave(repeats)
        offset = repeats.cumsum(0) - repeats
        source = torch.arange(target.numel(), device=repeats.device) - offset[target]
        return torch.stack([source + start[self.batch[target]], target])

    def _pair_bias(self, source: Tensor, target: Tensor) -> Tensor:
        out = self.far.expand(source.numel(), -1)
        if self.edge_index.size(1) > 0:
            key, perm = (self.edge_index[0] * self.num_nodes + self.edge_index[1]).sort()
            low, high = torch.minimum(source, target), torch.maximum(source, target)
            wanted = low * self.num_nodes + high
            found = torch.searchsorted(key, wanted).clamp_(max=key.numel() - 1)
            is_edge = key[found] == wanted
            out = torch.where(is_edge.unsqueeze(-1), self.edge_bias[perm[found]], out)
        is_zero = source == target
        if self.is_cls is not None:
            is_zero = is_zero | self.is_cls[source] | self.is_cls[target]
        return out.masked_fill(is_zero.unsqueeze(-1), 0.0)

    def _flat(self, row: Tensor, col: Tensor) -> Tensor:
        row_start = (self.batch[row] * self.max_nodes + self.local[row]) * self.max_nodes
        return row_start + self.local[col]

    def _zero_pairs(self) -> Tensor:
        node = torch.arange(self.num_nodes, device=self.local.device)
        index = [self._flat(node, node)]
        if self.is_cls is not None and self.is_cls.any():
            for cls in self.is_cls.nonzero().view(-1):
                mates = (self.batch == self.batch[cls]).nonzero().view(-1)
                cls = cls.expand_as(mates)
                index += [self._flat(cls, mates), self._flat(mates, cls)]
        return torch.cat(index)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(num_nodes={self.num_nodes}, heads={self.heads}, "
            f"num_layers={self.num_layers})"
        )
