import inspect

import torch
from torch import Tensor
from torch.nn import Linear

from stofm_pyg.nn.pair_representation import PairRepresentation


class ConvAdapter(torch.nn.Module):
    r"""Gives any PyG operator the call of :class:`SE2TransformerConv` inside a
    :class:`SliceEncoderBlock`.

    Encoded distances reach the operator as :obj:`edge_attr` where it takes edge features, or as a
    learned :obj:`edge_weight` between zero and one where it takes weights only. Node types and pair
    representations are not for it.

    Args:
        conv (torch.nn.Module): The operator.
        edge_channels (int): Size of an encoded distance.
    """

    def __init__(self, conv: torch.nn.Module, edge_channels: int):
        super().__init__()
        self.conv = conv
        parameters = inspect.signature(conv.forward).parameters
        self.takes_edge_attr = "edge_attr" in parameters or "kwargs" in parameters
        self.takes_batch = "batch" in parameters
        self.lin_weight = None
        if not self.takes_edge_attr and "edge_weight" in parameters:
            self.lin_weight = Linear(edge_channels, 1)

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        self.conv.reset_parameters()
        if self.lin_weight is not None:
            self.lin_weight.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        node_type: Tensor | None = None,
        pair: PairRepresentation | None = None,
        return_pair: bool = False,
    ) -> Tensor | tuple[Tensor, PairRepresentation | None]:
        r"""Runs the forward pass of the module."""
        kwargs = {}
        if self.takes_edge_attr:
            kwargs["edge_attr"] = edge_attr
        elif self.lin_weight is not None:
            kwargs["edge_weight"] = self.lin_weight(edge_attr).sigmoid().view(-1)
        if self.takes_batch:
            kwargs["batch"] = batch
        out = self.conv(x, edge_index, **kwargs)
        return (out, pair) if return_pair else out

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.conv})"
