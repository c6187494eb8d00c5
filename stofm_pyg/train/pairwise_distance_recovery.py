import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MLP

from stofm_pyg.nn import SliceEncoderOutput


class PairwiseDistanceRecovery(torch.nn.Module):
    r"""Pairwise distance recovery (PDR) of the `"SToFM" <https://arxiv.org/abs/2507.11588>`_ paper: the
    true distances of cells whose positions were perturbed are read out of the pair representation.

    Only the pairs that are scored are evaluated.

    Args:
        heads (int): The number of attention heads, the size of a pair's representation.

    Shapes:
        - **input:** a :class:`SliceEncoderOutput` and a batch with :obj:`pair_index` :math:`(2, P)` and
          :obj:`pair_distance` :math:`(P)`, as :class:`~stofm_pyg.transforms.PerturbPositions` makes
          them
        - **output:** the mean squared error, a scalar; zero for a batch without pairs
    """

    def __init__(self, heads: int):
        super().__init__()
        self.head = MLP([heads, heads, 1], norm=None)

    def forward(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Runs the forward pass of the module."""
        if batch.pair_index.size(1) == 0:
            return output.x.sum() * 0.0
        pred = self.head(output.pair.pairs(batch.pair_index)).view(-1)
        return F.mse_loss(pred, batch.pair_distance)
