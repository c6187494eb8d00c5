from dataclasses import replace

import torch
from torch import Generator, Tensor

from stofm_pyg.loader.token_batch import IGNORED, TokenBatch


class MaskGenes:
    r"""Chooses the genes that masked gene modelling asks for, and hides them by the 80/10/10 rule of
    `"BERT" <https://arxiv.org/abs/1810.04805>`_: most become the mask token, some another gene, and
    some stay as they are, so that the model must have a mind of its own about every gene it sees.

    Only genes are chosen, never CLS, EOS or a mask. In a cell with :math:`n` genes,
    :math:`r n` are, rounded, and at least one of two or more.

    Args:
        gene_tokens (torch.Tensor): The tokens of genes :math:`(G)`, of which random ones are drawn;
            those that occur in the slices are the better choice.
        mask_token_id (int, optional): The token of masked genes. (default: :obj:`1`)
        rate (float, optional): The share :math:`r` of genes to choose. (default: :obj:`0.15`)
        mask_share (float, optional): The share of the chosen ones that become the mask token.
            (default: :obj:`0.8`)
        random_share (float, optional): The share that become a random gene. (default: :obj:`0.1`)

    Raises:
        ValueError: If a share is out of bounds, or there is no gene.
    """

    def __init__(
        self,
        gene_tokens: Tensor,
        mask_token_id: int = 1,
        rate: float = 0.15,
        mask_share: float = 0.8,
        random_share: float = 0.1,
    ):
        if not 0 < rate <= 1:
            raise ValueError(f"'rate' must lie in (0, 1] (got {rate})")
        if min(mask_share, random_share) < 0 or mask_share + random_share > 1 + 1e-9:
            raise ValueError(
                f"'mask_share' and 'random_share' must not be negative, and one at most together (got "
                f"{mask_share} and {random_share})"
            )
        if gene_tokens.numel() == 0:
            raise ValueError("'gene_tokens' is empty: there is no gene to mask")
        self.gene_tokens = gene_tokens.long()
        self.mask_token_id = mask_token_id
        self.rate = rate
        self.mask_share = mask_share
        self.random_share = random_share

    def __call__(self, batch: TokenBatch, generator: Generator) -> TokenBatch:
        r"""Returns the batch with genes hidden and :obj:`labels` set.

        Args:
            batch (TokenBatch): The cells.
            generator (torch.Generator): The source of all that is random.
        """
        tokens = batch.tokens
        chosen = self._choose(batch, generator)
        labels = torch.where(chosen, tokens, IGNORED)

        fate = torch.rand(tokens.shape, generator=generator)
        drawn = torch.randint(self.gene_tokens.numel(), tokens.shape, generator=generator)
        masked = chosen & (fate < self.mask_share)
        swapped = chosen & ~masked & (fate < self.mask_share + self.random_share)
        tokens = torch.where(masked, self.mask_token_id, tokens)
        tokens = torch.where(swapped, self.gene_tokens[drawn], tokens)
        return replace(batch, tokens=tokens, labels=labels)

    def _choose(self, batch: TokenBatch, generator: Generator) -> Tensor:
        genes = torch.isin(batch.tokens, self.gene_tokens)
        number = batch.count(genes)
        count = (self.rate * number).round()
        count = torch.where(number > 1, count.clamp(min=1), count)
        return genes & (batch.random_ranks(genes, generator) < count[batch.rows])

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.gene_tokens.numel()} genes, rate={self.rate}, "
            f"mask_share={self.mask_share}, random_share={self.random_share})"
        )
