import torch
from torch import Tensor
from torch.nn import Dropout, Embedding, GroupNorm, Linear, Parameter, ReLU, Sequential

GRID = 100
NORM_GROUPS = 4


class CellEmbedder(torch.nn.Module):
    r"""The input of a cell: the sum of the embeddings of its genes, each times the logarithm of one plus
    its count, and, where asked for, of its position.

    Args:
        num_genes (int): The number of genes.
        channels (int): Size of a cell's state.
        dropout (float): Dropout in training.
        positions (bool): Whether positions are added. The released code multiplies them by zero.
    """

    def __init__(self, num_genes: int, channels: int, dropout: float, positions: bool):
        super().__init__()
        self.positions = positions
        self.feat_enc = GeneEmbeddings(num_genes, channels)
        self.pe_enc = Sinusoids2D(channels)
        self.extra_linear = Sequential(
            Linear(channels, channels), ReLU(), Dropout(dropout), GroupNorm(NORM_GROUPS, channels)
        )

    def forward(self, counts: Tensor, pos: Tensor) -> Tensor:
        r"""The states of cells :math:`(N, C)` from their counts :math:`(N, G)` and positions in a unit
        square :math:`(N, 2)`."""
        x = counts.log1p() @ self.feat_enc.emb
        return self.extra_linear(x + self.pe_enc(pos) if self.positions else x)


class GeneEmbeddings(torch.nn.Module):
    r"""The embeddings of genes :math:`(G, C)`, of a size at which their sum over a cell is about one."""

    def __init__(self, num_genes: int, channels: int):
        super().__init__()
        self.emb = Parameter(0.1 * torch.randn(num_genes, channels))


class Sinusoids2D(torch.nn.Module):
    r"""A position as sinusoids: half of the channels of its column, half of its row, in a grid over a
    unit square.

    Args:
        channels (int): The number of channels, a multiple of four.
        grid (int, optional): The number of rows and columns. (default: :obj:`100`)
    """

    def __init__(self, channels: int, grid: int = GRID):
        super().__init__()
        self.grid = grid
        half = channels // 2
        frequency = 10_000.0 ** -(torch.arange(0, half, 2) / half)
        angle = torch.arange(grid)[:, None] * frequency
        waves = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
        row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        table = torch.cat([waves[column.flatten()], waves[row.flatten()]], dim=1)
        self.pe_enc = Embedding.from_pretrained(table)
        # Published for cells without a position, which slices do not have.
        self.missing_pe = Parameter(0.01 * torch.randn(channels), requires_grad=False)

    def forward(self, pos: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        place = ((pos * 1.02 - 0.01) * self.grid).long().clamp(0, self.grid - 1)
        return self.pe_enc(place[:, 0] * self.grid + place[:, 1])
