import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MLP

from stofm_pyg.nn import SliceEncoderOutput


class MaskedCellModelling(torch.nn.Module):
    r"""Masked cell modelling (MCM) of the `"SToFM" <https://arxiv.org/abs/2507.11588>`_ paper: the
    features of masked cells are predicted from their embeddings.

    Args:
        channels (int): Size of an embedding.
        out_channels (int): Size of the features to predict.
        loss (str, optional): :obj:`"mse"`, the mean squared error of the paper, or :obj:`"cosine"`, one
            minus the cosine, of the official code. (default: :obj:`"mse"`)

    Shapes:
        - **input:** a :class:`SliceEncoderOutput` and a batch with :obj:`mask` :math:`(N)` and
          :obj:`target` :math:`(M, C_{out})`, as :class:`~stofm_pyg.transforms.MaskCells` makes them
        - **output:** the loss, a scalar; zero for a batch without masked cells
    """

    losses = ("mse", "cosine")

    def __init__(self, channels: int, out_channels: int, loss: str = "mse"):
        super().__init__()
        if loss not in self.losses:
            raise ValueError(f"Unknown loss '{loss}'; known: {', '.join(self.losses)}")
        self.loss = loss
        self.head = MLP([channels, channels, out_channels], norm=None)

    def forward(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Runs the forward pass of the module."""
        pred = self.predict(output, batch)
        if pred.size(0) == 0:
            return pred.sum()  # Zero, and so is the gradient; the mean of nothing is not.
        if self.loss == "mse":
            return F.mse_loss(pred, batch.target)
        return 1 - F.cosine_similarity(pred, batch.target, dim=-1).mean()

    def predict(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Returns the features of masked cells :math:`(M, C_{out})` as the model sees them."""
        return self.head(output.x[batch.mask])

    def count(self, batch: Data) -> int:
        r"""Returns how many cells of a batch are masked."""
        return int(batch.mask.sum())
