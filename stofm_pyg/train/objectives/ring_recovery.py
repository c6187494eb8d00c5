import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType, SliceEncoderOutput


class RingRecovery(torch.nn.Module):
    r"""Ring recovery: each cell's embedding predicts the mean features of the cells in rings around it,
    as they are without noise and masks.

    The mean of many cells is a far less noisy target than the one cell of masked cell modelling, and
    what a place in a tissue is shows in it. A linear layer reads it, so that it has to lie open in the
    embedding.

    Args:
        channels (int): Size of an embedding.
        out_channels (int): Size of a cell's features.
        num_rings (int): The number of rings.

    Shapes:
        - **input:** a :class:`SliceEncoderOutput` and a batch with :obj:`rings` :math:`(N, R, F)`
        - **output:** the mean squared error over cells, rings and features, a scalar
    """

    def __init__(self, channels: int, out_channels: int, num_rings: int):
        super().__init__()
        self.shape = (num_rings, out_channels)
        self.lin = torch.nn.Linear(channels, num_rings * out_channels)

    def forward(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Runs the forward pass of the module."""
        return F.mse_loss(self.predict(output, batch), batch.rings[batch.node_type == NodeType.CELL])

    def predict(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Returns what is predicted of the rings around each cell :math:`(N, R, F)`."""
        return self.lin(output.x[batch.node_type == NodeType.CELL]).view(-1, *self.shape)

    def count(self, batch: Data) -> int:
        r"""Returns how many cells of a batch are predicted."""
        return int((batch.node_type == NodeType.CELL).sum())
