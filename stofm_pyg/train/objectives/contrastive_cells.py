import math

import torch
import torch.nn.functional as F
from torch import Tensor


class ContrastiveCells(torch.nn.Module):
    r"""A contrastive loss between two views of the same cells (InfoNCE, `"Representation Learning with
    Contrastive Predictive Coding" <https://arxiv.org/abs/1807.03748>`_; with dropout as part of what
    makes views, `"SimCSE" <https://arxiv.org/abs/2104.08821>`_):

    .. math::
        \mathcal{L} = -\frac{1}{2N} \sum_i \log \frac{e^{s_{ii} / \tau}}{\sum_j e^{s_{ij} / \tau}}
        + \log \frac{e^{s_{ii} / \tau}}{\sum_j e^{s_{ji} / \tau}}

    with :math:`s_{ij}` the cosine of the first view of cell :math:`i` and the second of cell :math:`j`.

    Args:
        temperature (float, optional): :math:`\tau`, SimCSE's by default: the smaller, the more the
            loss is about the cells that are most alike. (default: :obj:`0.05`)

    Shapes:
        - **input:** the embeddings of both views, each :math:`(N, C)`
        - **output:** the loss, a scalar in nats; zero for one cell, :math:`\log N` for chance
    """

    def __init__(self, temperature: float = 0.05):
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ValueError(f"'temperature' must be positive and finite (got {temperature})")
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        if first.shape != second.shape or first.dim() != 2:
            raise ValueError(
                f"Both views must have one row per cell (got shapes {list(first.shape)} and "
                f"{list(second.shape)})"
            )
        logits = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).t() / self.temperature
        truth = torch.arange(first.size(0), device=first.device)
        return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.t(), truth)) / 2

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(temperature={self.temperature})"
