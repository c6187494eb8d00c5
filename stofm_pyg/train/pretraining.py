from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Data


class Pretraining(torch.nn.Module):
    r"""A model together with its self-supervised objectives, which share one forward pass.

    Args:
        model (torch.nn.Module): The model, from a batch to a :class:`SliceEncoderOutput`.
        objectives (Mapping[str, torch.nn.Module]): The objectives by name, each from output and batch
            to a scalar loss.
        weights (Mapping[str, float], optional): The weight of each loss; one without.
            (default: :obj:`None`)
    """

    def __init__(
        self,
        model: torch.nn.Module,
        objectives: Mapping[str, torch.nn.Module],
        weights: Mapping[str, float] | None = None,
    ):
        super().__init__()
        if "loss" in objectives:
            raise ValueError("An objective cannot be named 'loss', which is their sum; rename it")
        unknown = set(weights or {}) - set(objectives)
        if unknown:
            raise ValueError(
                f"Weights for unknown objectives {sorted(unknown)}; known: {sorted(objectives)}"
            )
        self.model = model
        self.objectives = torch.nn.ModuleDict(objectives)
        self.weights = dict.fromkeys(objectives, 1.0) | dict(weights or {})

    def forward(self, batch: Data) -> dict[str, Tensor]:
        r"""Returns each objective's loss by name, and their weighted sum as :obj:`"loss"`."""
        output = self.model(batch)
        losses = {name: objective(output, batch) for name, objective in self.objectives.items()}
        losses["loss"] = sum(self.weights[name] * loss for name, loss in losses.items())
        return losses
