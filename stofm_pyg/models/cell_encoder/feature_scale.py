from collections.abc import Iterable

import torch
from torch import Tensor

# A channel that hardly varies is not blown up to noise.
SMALLEST = 1e-4


class FeatureScale(torch.nn.Module):
    r"""Shifts and scales each channel of the embeddings of cells: to mean zero over the cells that it
    was fitted to, and to standard deviation one within a slice.

    Embeddings of length one share a large mean, beside which what tells cells apart is small, and they
    differ more between technologies than between the cells of a slice.

    Args:
        channels (int): The number of channels.

    Shapes:
        - **input:** embeddings :math:`(N, C)`
        - **output:** embeddings :math:`(N, C)`
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    @classmethod
    def fit(cls, parts: Iterable[Tensor]) -> "FeatureScale":
        r"""Returns the scale of some embeddings, those of one slice after another.

        Args:
            parts (iterable of torch.Tensor): The embeddings of each slice :math:`(N, C)`.

        Raises:
            ValueError: There are fewer than two, or they are not finite.
        """
        count, total, squares = 0, 0.0, 0.0
        for part in parts:
            part = part.double()
            count, total = count + part.size(0), total + part.sum(dim=0)
            squares = squares + (part - part.mean(dim=0)).square().sum(dim=0)
        if count < 2:
            raise ValueError(f"Two cells are needed to fit a scale (got {count})")
        mean, std = total / count, (squares / count).sqrt()
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise ValueError("The embeddings hold values that are not finite; check the cell encoder")
        scale = cls(mean.numel())
        scale.mean.copy_(mean)
        scale.std.copy_(std.clamp(min=SMALLEST * float(std.max().clamp(min=SMALLEST))))
        return scale

    def forward(self, x: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        return (x - self.mean.to(x)) / self.std.to(x)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.mean.numel()})"
