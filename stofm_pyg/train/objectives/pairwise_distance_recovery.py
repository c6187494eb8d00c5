import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import MLP

from stofm_pyg.nn import SliceEncoderOutput


class PairwiseDistanceRecovery(torch.nn.Module):
    r"""Pairwise distance recovery (PDR) of the `"SToFM" <https://arxiv.org/abs/2507.11588>`_ paper: the
    true distances of cells whose positions were perturbed are read out of the pair representation.

    Only the pairs that are scored are evaluated. The head starts from a constant prediction and so does
    not pull at the pair representation before it has learned to read it: the error of an untrained head
    is mostly the mean distance, and its gradient would shape attention before any other objective can.

    Args:
        heads (int): The number of attention heads, the size of a pair's representation.
        mean_distance (float, optional): The prediction to start from, in the unit of the positions; two
            thirds of the radius is the mean distance of cells in a radius graph. (default: :obj:`0.0`)

    Shapes:
        - **input:** a :class:`SliceEncoderOutput` and a batch with :obj:`pair_index` :math:`(2, P)` and
          :obj:`pair_distance` :math:`(P)`, as :class:`~stofm_pyg.transforms.PerturbPositions` makes
          them
        - **output:** the mean squared error, a scalar; zero for a batch without pairs
    """

    def __init__(self, heads: int, mean_distance: float = 0.0):
        super().__init__()
        self.mean_distance = mean_distance
        self.head = MLP([heads, heads, 1], norm=None)
        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        self.head.reset_parameters()
        torch.nn.init.zeros_(self.head.lins[-1].weight)
        torch.nn.init.constant_(self.head.lins[-1].bias, self.mean_distance)

    def forward(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Runs the forward pass of the module."""
        pred = self.predict(output, batch)
        if pred.numel() == 0:
            return pred.sum() + output.x.sum() * 0.0  # Zero, from which every weight has a gradient.
        return F.mse_loss(pred, batch.pair_distance)

    def predict(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Returns the true distances of the scored pairs :math:`(P)` as the model sees them."""
        return self.head(output.pair.pairs(batch.pair_index)).view(-1)

    def count(self, batch: Data) -> int:
        r"""Returns how many pairs of a batch are scored."""
        return batch.pair_index.size(1)
