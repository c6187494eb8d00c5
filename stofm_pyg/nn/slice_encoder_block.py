import torch
from torch import Tensor
from torch.nn import Dropout, LayerNorm, Linear
from torch_geometric.nn.resolver import activation_resolver

from stofm_pyg.nn.pair_representation import PairRepresentation


class SliceEncoderBlock(torch.nn.Module):
    r"""A transformer block with any graph operator in the place of attention: the operator and a
    two-layer perceptron, each with dropout, a residual connection and layer normalisation.

    Args:
        conv (torch.nn.Module): The operator, called as :class:`SE2TransformerConv` is; other
            operators through :class:`ConvAdapter`.
        channels (int): Size of each input and output sample.
        ffn_channels (int): Size of the hidden layer of the perceptron.
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        act (str, optional): The non-linearity of the perceptron. (default: :obj:`"gelu"`)
        pre_norm (bool, optional): Normalise the input of each part instead of its output.
            (default: :obj:`False`)
    """

    def __init__(
        self,
        conv: torch.nn.Module,
        channels: int,
        ffn_channels: int,
        dropout: float = 0.0,
        act: str = "gelu",
        pre_norm: bool = False,
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.conv = conv
        self.norm1 = LayerNorm(channels)
        self.lin1 = Linear(channels, ffn_channels)
        self.act = activation_resolver(act)
        self.lin2 = Linear(ffn_channels, channels)
        self.norm2 = LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        for module in (self.conv, self.norm1, self.lin1, self.lin2, self.norm2):
            module.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None,
        batch: Tensor | None,
        node_type: Tensor | None,
        pair: PairRepresentation | None,
    ) -> tuple[Tensor, PairRepresentation | None]:
        r"""Runs the forward pass of the module."""
        h = self.norm1(x) if self.pre_norm else x
        h, pair = self.conv(h, edge_index, edge_attr, batch, node_type, pair, return_pair=True)
        x = x + self.dropout(h)
        x = x if self.pre_norm else self.norm1(x)

        h = self.norm2(x) if self.pre_norm else x
        h = self.lin2(self.dropout(self.act(self.lin1(h))))
        x = x + self.dropout(h)
        return x if self.pre_norm else self.norm2(x), pair
