from collections.abc import Iterable

import torch
from torch import Tensor

# As many as components of counts.
NUM_FEATURES = 50
# The least deviation, as a share of the largest: less is rounding, or what a length does to the others.
SMALLEST = 5e-3
# Of embeddings of length one, so small a deviation is rounding.
ROUNDING = 1e-8


class FeatureScale(torch.nn.Module):
    r"""Reduces the embeddings of cells to principal components, each with a size of its own:

    .. math::
        x = (e - \mu) W

    Embeddings of length one share a large mean, beside which what tells cells apart is small, and they
    differ more between technologies than between the cells of a slice.

    Args:
        channels (int): The number of channels :math:`C`.
        num_features (int, optional): The number of components :math:`K`; as many as channels if
            :obj:`None`. (default: :obj:`None`)

    Shapes:
        - **input:** embeddings :math:`(N, C)`
        - **output:** features :math:`(N, K)`
    """

    def __init__(self, channels: int, num_features: int | None = None):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("weight", torch.eye(channels)[:, :num_features].contiguous())

    @classmethod
    def fit(cls, slices: Iterable[Tensor], num_features: int = NUM_FEATURES) -> "FeatureScale":
        r"""Returns the scale of the cells of some slices: :math:`\mu` is the mean of all, components are
        those of cells that are centred in each slice, where their standard deviation becomes one.

        Args:
            slices (iterable of torch.Tensor): The embeddings of each slice :math:`(N, C)`.
            num_features (int, optional): The most components; there are fewer where the embeddings do
                not vary in so many directions. (default: :obj:`50`)

        Raises:
            ValueError: There are fewer than two cells, or the embeddings are not finite.
        """
        count, total, products = 0, 0.0, 0.0
        for part in slices:
            part = part.double()
            count, total = count + part.size(0), total + part.sum(dim=0)
            part = part - part.mean(dim=0)
            products = products + part.t() @ part
        if count < 2:
            raise ValueError(f"Two cells are needed to fit a scale (got {count})")
        mean, covariance = total / count, products / count
        if not (torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
            raise ValueError("The embeddings hold values that are not finite; check the cell encoder")
        variance, vectors = torch.linalg.eigh(covariance)
        variance, vectors = variance.flip(0)[:num_features], vectors.flip(1)[:, :num_features]
        kept = variance > SMALLEST**2 * variance[0]
        kept[0] = True  # Where nothing varies, one feature says so.
        variance, vectors = variance[kept], vectors[:, kept]
        sign = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)).sign()
        scale = cls(*vectors.shape)
        scale.mean.copy_(mean)
        scale.weight.copy_(vectors * sign / variance.clamp(min=ROUNDING**2).sqrt())
        return scale

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "FeatureScale":
        r"""Returns the scale of saved tensors; those of older versions have a deviation for each channel
        in the place of a weight."""
        if "std" in state:
            state = {"mean": state["mean"], "weight": torch.diag(1 / state["std"])}
        scale = cls(*state["weight"].shape)
        scale.load_state_dict(state)
        return scale

    @property
    def num_features(self) -> int:
        r"""The number of components."""
        return self.weight.size(1)

    def forward(self, x: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        return (x - self.mean.to(x)) @ self.weight.to(x)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.mean.numel()}, {self.num_features})"
