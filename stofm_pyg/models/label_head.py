from collections.abc import Sequence

import torch
from torch import Tensor

from stofm_pyg.data import Keys

#: What domains are called where a label is asked for.
DOMAINS = "domains"


class LabelHead(torch.nn.Module):
    r"""Names the class of a cell from its embedding, or what it is made of: a linear layer on some
    standardised channels.

    Args:
        in_channels (int): The number of channels that it reads.
        classes (sequence of str): The names of the classes.

    Shapes:
        - **input:** embeddings, with the features that cells enter with beside them :math:`(N, C)`
        - **output:** logits :math:`(N, K)`
    """

    def __init__(self, in_channels: int, classes: Sequence[str]):
        super().__init__()
        if len(classes) < 2:
            raise ValueError(f"A label needs at least two classes (got {list(classes)})")
        self.classes = [str(name) for name in classes]
        #: Which channels are read; the first ones at first.
        self.register_buffer("channels", torch.arange(in_channels))
        self.register_buffer("mean", torch.zeros(in_channels))
        self.register_buffer("std", torch.ones(in_channels))
        self.lin = torch.nn.Linear(in_channels, len(self.classes))

    def standardise(self, x: Tensor):
        r"""Takes mean and standard deviation of the channels from embeddings :math:`(N, C)`."""
        x = x[:, self.channels]
        self.mean.copy_(x.mean(dim=0))
        self.std.copy_(x.std(dim=0, unbiased=False))
        self.std[self.std < 1e-8] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        return self.lin((x[:, self.channels] - self.mean) / self.std)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.lin.in_features}, classes={len(self.classes)})"


def prediction_key(label: str) -> str:
    r"""Returns where the classes of a label go, or :obj:`"domains"`, without another word: a label that
    is called as domains are does not go where these are."""
    if label == DOMAINS:
        return Keys.DOMAIN
    key = f"stofm_{label}"
    return f"{key}_label" if key == Keys.DOMAIN else key
