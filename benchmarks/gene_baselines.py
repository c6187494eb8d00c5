r"""Guesses of masked genes that know less than a cell encoder does."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.loader.token_batch import IGNORED, TokenBatch


class MostFrequentGene:
    r"""Guesses the gene that is masked most often, whatever the cell.

    Args:
        gene_tokens (torch.Tensor): The tokens that can be the answer :math:`(G)`.
    """

    def __init__(self, gene_tokens: Tensor):
        self.gene_tokens = gene_tokens

    def fit(self, batches: Sequence[TokenBatch]) -> "MostFrequentGene":
        r"""Counts the masked genes of batches."""
        self.score = sum(masked_genes(batch, self.gene_tokens).sum(dim=0) for batch in batches)
        return self

    def scores(self, batch: TokenBatch) -> Tensor:
        r"""Returns the scores :math:`(B, G)` of each gene in each cell."""
        return self.score.expand(batch.input_ids.size(0), -1)


class BagOfGenes:
    r"""Guesses from which other genes a cell has, without their order: a linear map from the genes that
    are seen to the logits of those that are masked, fitted by Adam on the cross-entropy.

    Args:
        gene_tokens (torch.Tensor): The tokens that can be the answer :math:`(G)`.
        num_epochs (int, optional): How often all batches are seen. (default: :obj:`5`)
        lr (float, optional): The learning rate, annealed to zero. (default: :obj:`0.01`)
    """

    def __init__(self, gene_tokens: Tensor, num_epochs: int = 5, lr: float = 0.01):
        self.gene_tokens = gene_tokens
        self.num_epochs = num_epochs
        self.lr = lr

    def fit(self, batches: Sequence[TokenBatch]) -> "BagOfGenes":
        r"""Fits the map to the masked genes of batches."""
        size = self.gene_tokens.numel()
        pairs = [
            (seen_genes(batch, self.gene_tokens), masked_genes(batch, self.gene_tokens))
            for batch in batches
        ]
        self.weight = torch.zeros(size, size, requires_grad=True)
        self.bias = torch.zeros(size, requires_grad=True)
        optimizer = torch.optim.Adam([self.weight, self.bias], self.lr)
        schedule = torch.optim.lr_scheduler.LinearLR(
            optimizer, 1.0, 0.0, total_iters=self.num_epochs * len(pairs)
        )
        for _ in range(self.num_epochs):
            for seen, masked in pairs:
                log_p = F.log_softmax(seen @ self.weight + self.bias, dim=-1)
                loss = -(log_p * masked).sum() / masked.sum().clamp(min=1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return self

    @torch.no_grad()
    def scores(self, batch: TokenBatch) -> Tensor:
        r"""Returns the scores :math:`(B, G)` of each gene in each cell."""
        return seen_genes(batch, self.gene_tokens) @ self.weight + self.bias


def seen_genes(batch: TokenBatch, gene_tokens: Tensor) -> Tensor:
    r"""Returns which genes a cell shows :math:`(B, G)`, as ones."""
    return _counts(batch.input_ids, gene_tokens)


def masked_genes(batch: TokenBatch, gene_tokens: Tensor) -> Tensor:
    r"""Returns which genes are masked in a cell :math:`(B, G)`, as ones."""
    return _counts(batch.labels, gene_tokens)


def right_guesses(scores: Tensor, batch: TokenBatch, gene_tokens: Tensor) -> tuple[int, int]:
    r"""Returns how many masked genes have the best score of all that their cell does not show, and how
    many are masked; no gene is in a cell twice, so that those it shows are no answers.

    Args:
        scores (torch.Tensor): The scores per cell :math:`(B, G)`, or per masked gene :math:`(M, G)`, in
            the order of the labels.
        batch (TokenBatch): The cells :math:`(B)`.
        gene_tokens (torch.Tensor): The tokens that can be the answer :math:`(G)`, rising.
    """
    row, column = (batch.labels != IGNORED).nonzero(as_tuple=True)
    truth = torch.searchsorted(gene_tokens, batch.labels[row, column])
    if scores.size(0) != row.numel():
        scores = scores[row]
    seen = seen_genes(batch, gene_tokens)[row].bool()
    guess = scores.masked_fill(seen, -torch.inf).argmax(dim=-1)
    return int((guess == truth).sum()), row.numel()


def _counts(tokens: Tensor, gene_tokens: Tensor) -> Tensor:
    is_gene = torch.isin(tokens, gene_tokens)
    place = torch.searchsorted(gene_tokens, tokens).clamp(max=gene_tokens.numel() - 1)
    out = torch.zeros(tokens.size(0), gene_tokens.numel())
    return out.scatter_add_(1, place, is_gene.float())
