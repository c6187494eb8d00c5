import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, Module, ModuleList, ReLU

TINY = 1e-8
# Below so many nats, a divergence costs nothing.
FREE_NATS = 5.0


class MixtureLatent(Module):
    r"""A latent space with a mixture of Gaussians as its prior: a cell's cluster :math:`y` is drawn from
    :math:`q(y | x)`, its place :math:`z` from :math:`q(z | x, y)`, and the prior is
    :math:`p(z | y)` with equal clusters.

    Args:
        in_channels (int): Size of a cell's state.
        out_channels (int): Size of :math:`z`.
        hidden_channels (int): Size of the hidden layer of :math:`q(z | x, y)`.
        num_clusters (int): The number of clusters.
    """

    def __init__(self, in_channels: int, out_channels: int, hidden_channels: int, num_clusters: int):
        super().__init__()
        self.inference = Inference(in_channels, out_channels, hidden_channels, num_clusters)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns :math:`z` :math:`(N, Z)`, drawn, and the divergence from the prior, a scalar."""
        net = self.inference
        logits = net.logits(x)
        cluster = F.gumbel_softmax(logits, tau=1.0)
        mean, var = net.place(x, cluster)
        prior_mean, prior_var = net.prior(cluster)
        z = mean + (var + TINY).sqrt() * torch.randn_like(mean)
        of_place = gaussian_divergence(mean, var, prior_mean, prior_var).mean()
        log_share = logits.log_softmax(dim=-1)
        of_cluster = (log_share.exp() * (log_share + math.log(logits.size(1)))).sum(dim=-1).mean()
        return z, of_place.clamp(min=FREE_NATS) + of_cluster.clamp(min=FREE_NATS)

    def embed(self, x: Tensor) -> Tensor:
        r"""The mean of :math:`z` in the likeliest cluster :math:`(N, Z)`; the released code draws the
        cluster."""
        logits = self.inference.logits(x)
        cluster = F.one_hot(logits.argmax(dim=-1), logits.size(1)).to(x)
        return self.inference.place(x, cluster)[0]


class Inference(Module):
    r"""The networks of :class:`MixtureLatent`."""

    def __init__(self, in_channels: int, out_channels: int, hidden_channels: int, num_clusters: int):
        super().__init__()
        self.inference_qyx = ModuleList([Cluster(in_channels, num_clusters)])
        self.inference_qzyx = ModuleList(
            [
                Linear(in_channels + num_clusters, hidden_channels),
                ReLU(),
                Gaussian(hidden_channels, out_channels),
            ]
        )
        self.y_mu = Linear(num_clusters, out_channels)
        self.y_var = Linear(num_clusters, out_channels)

    def logits(self, x: Tensor) -> Tensor:
        r"""Of the clusters :math:`(N, K)`."""
        return self.inference_qyx[0].logits(x)

    def place(self, x: Tensor, cluster: Tensor) -> tuple[Tensor, Tensor]:
        r"""The mean and the variance of :math:`q(z | x, y)`."""
        first, act, last = self.inference_qzyx
        hidden = act(first(torch.cat([x, cluster], dim=1)))
        return last.mu(hidden), F.softplus(last.var(hidden))

    def prior(self, cluster: Tensor) -> tuple[Tensor, Tensor]:
        r"""The mean and the variance of :math:`p(z | y)`."""
        return self.y_mu(cluster), F.softplus(self.y_var(cluster))


class Cluster(Module):
    r"""The logits of the clusters."""

    def __init__(self, in_channels: int, num_clusters: int):
        super().__init__()
        self.logits = Linear(in_channels, num_clusters)


class Gaussian(Module):
    r"""The mean and, before a softplus, the variance of a Gaussian."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.mu = Linear(in_channels, out_channels)
        self.var = Linear(in_channels, out_channels)


def gaussian_divergence(mean: Tensor, var: Tensor, prior_mean: Tensor, prior_var: Tensor) -> Tensor:
    r"""The Kullback-Leibler divergence of diagonal Gaussians from others :math:`(N)`, in nats."""
    var, prior_var = var + TINY, prior_var + TINY
    ratio = var / prior_var
    return 0.5 * (ratio + (mean - prior_mean).square() / prior_var - 1 - ratio.log()).sum(dim=-1)
