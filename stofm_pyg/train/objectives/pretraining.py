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

    def counts(self, batch: Data) -> Tensor:
        r"""Returns how many items of a batch each objective is a mean over :math:`(K)`, by its method
        :obj:`count`; one for an objective that has none."""
        counts = [
            objective.count(batch) if hasattr(objective, "count") else 1
            for objective in self.objectives.values()
        ]
        return torch.tensor(counts)

    def forward(
        self, batch: Data, share: Tensor | None = None, predict: bool = False
    ) -> dict[str, Tensor]:
        r"""Returns each objective's loss by name, and their weighted sum as :obj:`"loss"`.

        Args:
            batch (Data): The batch.
            share (torch.Tensor, optional): What share the batch has of all items of each objective
                :math:`(K)`; losses are multiplied by it, so that those of all batches add up to the
                loss of the whole. (default: :obj:`None`)
            predict (bool, optional): Return what is predicted instead: the embeddings of all nodes as
                :obj:`"x"`, and what each objective with a method :obj:`predict` makes of them.
                (default: :obj:`False`)
        """
        output = self.model(batch)
        if predict:
            able = {k: v for k, v in self.objectives.items() if hasattr(v, "predict")}
            return {"x": output.x} | {k: v.predict(output, batch) for k, v in able.items()}
        losses = {name: objective(output, batch) for name, objective in self.objectives.items()}
        if share is not None:
            losses = {name: losses[name] * part for name, part in zip(losses, share, strict=True)}
        losses["loss"] = sum(self.weights[name] * loss for name, loss in losses.items())
        return losses
