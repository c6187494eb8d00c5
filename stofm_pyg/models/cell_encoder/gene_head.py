import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import LayerNorm, Linear, Parameter

from stofm_pyg.models.official._activation import make_activation


class GeneHead(torch.nn.Module):
    r"""Predicts masked genes from the states of their tokens, as the head of a BERT for masked words
    does: a linear layer, a non-linearity, a normalisation, and the embeddings of all tokens as weights
    of the output.

    Args:
        channels (int): Size of a state.
        vocab_size (int): The number of tokens.
        act (str, optional): The non-linearity. (default: :obj:`"relu"`)
        eps (float, optional): What is added to the variance. (default: :obj:`1e-12`)

    Shapes:
        - **input:** states :math:`(M, C)`, the embeddings of all tokens :math:`(V, C)`
        - **output:** logits :math:`(M, V)`
    """

    def __init__(self, channels: int, vocab_size: int, act: str = "relu", eps: float = 1e-12):
        super().__init__()
        self.lin = Linear(channels, channels)
        self.act = make_activation(act)
        self.norm = LayerNorm(channels, eps=eps)
        self.bias = Parameter(torch.empty(vocab_size))
        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.normal_(self.lin.weight, std=0.02)
        torch.nn.init.zeros_(self.lin.bias)
        self.norm.reset_parameters()
        torch.nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        r"""Runs the forward pass of the module.

        Args:
            x (torch.Tensor): The states :math:`(M, C)`.
            weight (torch.Tensor): The embeddings of all tokens :math:`(V, C)`.
        """
        return F.linear(self.norm(self.act(self.lin(x))), weight, self.bias)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.lin.in_features}, {self.bias.numel()})"
