import torch
from torch import Tensor
from torch.nn import GELU, Dropout, LayerNorm, Linear, Sequential

EPS = 1e-6


class FlowAttention(torch.nn.Module):
    r"""Attention in linear time by the conservation of flow (`"Flowformer"
    <https://arxiv.org/abs/2202.06258>`_). With :math:`\phi` the sigmoid,

    .. math::
        I = \phi(Q) \sum_j \phi(K_j), \quad O = \phi(K) \sum_i \phi(Q_i), \quad
        \hat I = \phi(Q) \sum_j \phi(K_j) / O_j, \quad \hat O = \phi(K) \sum_i \phi(Q_i) / I_i,

    the output is :math:`\sigma(\hat I) \odot \frac{\phi(Q)}{I} \left( \phi(K)^\top
    (N \, \mathrm{softmax}(\hat O) \odot V) \right)`.

    Args:
        channels (int): Size of a state.
        heads (int): The number of heads.

    Shapes:
        - **input:** states :math:`(N, C)`
        - **output:** states :math:`(N, C)`
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_projection = Linear(channels, channels)
        self.key_projection = Linear(channels, channels)
        self.value_projection = Linear(channels, channels)
        self.out_projection = Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        query, key = self._heads(self.query_projection(x)), self._heads(self.key_projection(x))
        value, query, key = self._heads(self.value_projection(x)), query.sigmoid(), key.sigmoid()
        into = flow(query, key)
        out_of = flow(key, query)
        allocation = flow(query, key / out_of).sigmoid()
        competition = flow(key, query / into).clamp(-1, 1).softmax(dim=1) * x.size(0)
        out = (query / into) @ (key.transpose(1, 2) @ (value * competition)) * allocation
        return self.out_projection(out.transpose(0, 1).flatten(1))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, -1)).transpose(0, 1)


def flow(x: Tensor, others: Tensor) -> Tensor:
    r"""The flow between each state and all others, :math:`(H, N, 1)`."""
    return (x + EPS) @ (others.sum(dim=1) + EPS).unsqueeze(-1)


class FlowLayer(torch.nn.Module):
    r"""Flow attention and a feed-forward part, each on normalised states and added to them."""

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__()
        self.self_attn = FlowAttention(channels, heads)
        self._ff_block = Sequential(
            Linear(channels, 2 * channels), GELU(), Dropout(dropout),
            Linear(2 * channels, channels), Dropout(dropout),
        )  # fmt: skip
        self.norm1 = LayerNorm(channels)
        self.norm2 = LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        x = x + self.dropout(self.self_attn(self.norm1(x)))
        return x + self._ff_block(self.norm2(x))
