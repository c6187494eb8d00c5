from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import (
    Dropout,
    Embedding,
    GroupNorm,
    Linear,
    ModuleDict,
    ModuleList,
    Parameter,
    PReLU,
    Sequential,
)

from benchmarks.peers.cellplm.embedder import NORM_GROUPS

TINY = 1e-10


class CountDecoder(torch.nn.Module):
    r"""The counts of a cell from its latent place, as negative binomials, given from which slice or data
    set it is.

    Args:
        in_channels (int): Size of the latent space.
        hidden_channels (int): Size of the hidden layers.
        num_genes (int): The number of genes.
        num_layers (int): The number of layers, the last one included.
        covariates (mapping): How many values each covariate has, by name, *e.g.*, :obj:`{"batch": 3}`.
        dropout (float): Dropout in training.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_genes: int,
        num_layers: int,
        covariates: Mapping[str, int],
        dropout: float,
    ):
        super().__init__()
        self.layers, self.covariate_layers = ModuleList(), ModuleList()
        for layer in range(num_layers - 1):
            self.layers.append(
                Sequential(
                    Linear(hidden_channels if layer > 0 else in_channels, hidden_channels),
                    PReLU(), Dropout(dropout), GroupNorm(NORM_GROUPS, hidden_channels),
                )
            )  # fmt: skip
            if covariates:
                self.covariate_layers.append(
                    ModuleDict(
                        {
                            name: Sequential(
                                Embedding(number, hidden_channels), PReLU(),
                                GroupNorm(NORM_GROUPS, hidden_channels),
                            )
                            for name, number in covariates.items()
                        }
                    )
                )  # fmt: skip
        self.out_layer = CountHead(hidden_channels, num_genes)

    def forward(self, z: Tensor, covariates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        r"""Returns the mean, up to a factor for each cell, and the dispersion of the counts
        :math:`(N, G)`."""
        for number, layer in enumerate(self.layers):
            z = layer(z)
            for name, value in covariates.items():
                z = z + self.covariate_layers[number][name](value)
        return self.out_layer(z)


class CountHead(torch.nn.Module):
    r"""The mean and the dispersion of the counts of each gene."""

    def __init__(self, in_channels: int, num_genes: int, hidden_channels: int = 128):
        super().__init__()
        self.dec_1 = Linear(in_channels, hidden_channels)
        self.dec_mean = Sequential(Linear(hidden_channels, num_genes))
        self.dec_disp = Parameter(torch.randn(num_genes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Runs the forward pass of the module."""
        mean = self.dec_mean(self.dec_1(x).relu()).exp().clamp(1e-5, 1e6)
        return mean, self.dec_disp.exp().clamp(1e-4, 1e4).expand_as(mean)


def negative_binomial_loss(counts: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    r"""The negative logarithm of the probability of counts, in nats, entry by entry."""
    log_mean, log_dispersion = (mean + TINY).log(), (dispersion + TINY).log()
    log_both = (mean + dispersion + TINY).log()
    return (
        dispersion.lgamma() + (counts + 1).lgamma() - (counts + dispersion).lgamma()
        + (dispersion + counts) * log_both - dispersion * log_dispersion - counts * log_mean
    )  # fmt: skip
