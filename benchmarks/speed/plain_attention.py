import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, LayerNorm, Linear, ModuleList

from stofm_pyg.nn import NodeType


class PlainBlock(torch.nn.Module):
    r"""A transformer block of :class:`PlainEncoder`.

    Args:
        channels (int): Size of each input and output sample.
        heads (int): Number of attention heads.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.lin_qkv = Linear(channels, 3 * channels)
        self.lin_out = Linear(channels, channels)
        self.norm1 = LayerNorm(channels)
        self.lin1 = Linear(channels, channels)
        self.lin2 = Linear(channels, channels)
        self.norm2 = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        qkv = self.lin_qkv(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(query, key, value)
        x = self.norm1(x + self.lin_out(h.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.lin2(F.gelu(self.lin1(x))))


class PlainEncoder(torch.nn.Module):
    r"""The encoder of :class:`~stofm_pyg.nn.SliceEncoder` without distances and pair representation:
    the limit, below which no exact evaluation can be expected to come.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden and output sample.
        num_layers (int): Number of layers.
        heads (int): Number of attention heads.

    Shapes:
        - **input:** node features :math:`(B, n, C_{in})`, node types :math:`(B, n)`
        - **output:** node features :math:`(B, n, C)`
    """

    def __init__(self, in_channels: int, hidden_channels: int, num_layers: int, heads: int):
        super().__init__()
        self.lin_in = Linear(in_channels, hidden_channels)
        self.node_type_emb = Embedding(len(NodeType), hidden_channels)
        self.blocks = ModuleList(PlainBlock(hidden_channels, heads) for _ in range(num_layers))

    def forward(self, x: Tensor, node_type: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        x = self.lin_in(x) + self.node_type_emb(node_type.long())
        for block in self.blocks:
            x = block(x)
        return x
