from collections.abc import Sequence

import torch
from torch import Tensor

from stofm_pyg.data import CellTokens

# Weights fall to a half at this rank.
REACH = 20.0
# A gene that hardly varies gets no larger loading than one of this share of the largest deviation.
LEAST_DEVIATION = 0.1
# Of more genes, those whose weights vary most have loadings.
MAX_GENES = 2000
# Components of less of the largest variance are rounding.
LEAST_VARIANCE = 1e-8


class GeneBag:
    r"""A cell as the weighted mean of its genes, reduced to principal components:

    .. math::
        z = \frac{\sum_r w_r L_{g_r}}{s + \sum_r w_r} - c, \qquad w_r = \frac{1}{1 + r / 20}

    with the gene :math:`g_r` of rank :math:`r`, counted from zero, the loadings :math:`L` of the genes,
    the usual sum of weights :math:`s`, so that a cell of few genes lies near the mean, and the mean
    :math:`c` of all cells.

    Args:
        loadings (torch.Tensor): The loadings of all tokens :math:`(V, K)`, zero for those without.
        center (torch.Tensor): What is subtracted :math:`(K)`.
        sink (float): The usual sum of the weights of a cell.
        reach (float, optional): The rank at which weights have fallen to a half. (default: :obj:`20.0`)
    """

    def __init__(self, loadings: Tensor, center: Tensor, sink: float, reach: float = REACH):
        self.loadings = loadings
        self.center = center
        self.sink = sink
        self.reach = reach

    @classmethod
    def fit(cls, slices: Sequence[CellTokens], num_tokens: int, num_components: int) -> "GeneBag":
        r"""Finds the components of the cells of some slices.

        Genes have standard deviation one, cells are centred in each slice, and two genes are compared
        in the slices that have both. Components have the sign that makes the largest loading positive;
        the root mean square of :math:`z` is one.

        Args:
            slices (sequence of CellTokens): The cells of each slice, each with CLS first.
            num_tokens (int): The number of tokens of the vocabulary :math:`V`.
            num_components (int): The most components; there are fewer of fewer genes.
        """
        sink = _median_total([cells.lengths - 1 for cells in slices], REACH)
        bags = [weigh_genes(cells, num_tokens, sink) for cells in slices]
        genes = _variable_genes(bags)
        size = len(genes)
        if size == 0:  # Cells of CLS alone.
            return cls(torch.zeros(num_tokens, 1), torch.zeros(1), sink)
        covariance, pairs = torch.zeros(size, size).double(), torch.zeros(size, size).double()
        means, mean = [], torch.zeros(size).double()
        for bag in bags:
            part = bag.index_select(1, genes).to_dense().double()
            means.append(part.mean(dim=0))
            has = (part > 0).any(dim=0).double()
            part = (part - means[-1]) * has
            covariance += part.t() @ part
            pairs += part.size(0) * has[:, None] * has
            mean += bag.size(0) * means[-1]
        covariance /= pairs.clamp(min=1.0)
        mean /= max(1, sum(bag.size(0) for bag in bags))
        std = covariance.diagonal().sqrt()
        std = std.clamp(min=LEAST_DEVIATION * float(std.max().clamp(min=1e-12)))
        variance, vectors = torch.linalg.eigh(covariance / std[:, None] / std)
        variance, vectors = variance.flip(0)[:num_components], vectors.flip(1)[:, :num_components]
        kept = variance > LEAST_VARIANCE * variance[0]
        found = vectors[:, kept] / std[:, None] / variance[kept].sum().clamp(min=1e-12).sqrt()
        found = found * found.gather(0, found.abs().argmax(dim=0, keepdim=True)).sign()
        loadings = torch.zeros(num_tokens, found.size(1))
        loadings[genes] = found.float()
        return cls(loadings, (mean @ found).float(), sink)

    def __call__(self, cells: CellTokens) -> Tensor:
        r"""Returns the reduced bags of cells with CLS first :math:`(N, K)`."""
        bags = weigh_genes(cells, self.loadings.size(0), self.sink, self.reach)
        return torch.sparse.mm(bags, self.loadings) - self.center

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}{tuple(self.loadings.shape)}"


def weigh_genes(cells: CellTokens, num_tokens: int, sink: float, reach: float = REACH) -> Tensor:
    r"""The weight of each gene in each cell, a sparse tensor :math:`(N, V)`; that of the first token of
    a cell is left out."""
    starts = cells.ptr[:-1].repeat_interleave(cells.lengths)
    rank = torch.arange(cells.tokens.numel()) - starts - 1
    weight = 1 / (1 + rank.clamp(min=0) / reach)
    cell = torch.arange(len(cells)).repeat_interleave(cells.lengths)
    gene = rank >= 0
    weight, cell, token = weight[gene], cell[gene], cells.tokens[gene].long()
    total = torch.zeros(len(cells)).index_add(0, cell, weight) + sink
    index = torch.stack([cell, token])
    size = (len(cells), num_tokens)
    return torch.sparse_coo_tensor(index, weight / total[cell], size, check_invariants=False).coalesce()


def _median_total(lengths: list[Tensor], reach: float) -> float:
    lengths = torch.cat(lengths).clamp(min=0)
    weights = 1 / (1 + torch.arange(int(lengths.max().clamp(min=1))) / reach)
    return max(1.0, float(weights.cumsum(0)[int(lengths.median().clamp(min=1)) - 1]))


def _variable_genes(bags: list[Tensor]) -> Tensor:
    count = sum(bag.size(0) for bag in bags)
    total, squares = (
        sum(torch.sparse.sum(part, dim=0).to_dense().double() for part in parts)
        for parts in (bags, [bag * bag for bag in bags])
    )
    variance = squares / count - (total / count).square()
    number = min(MAX_GENES, int((total > 0).sum()))
    return variance.masked_fill(total == 0, -1.0).topk(number).indices.sort().values
