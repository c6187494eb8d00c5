from dataclasses import replace

import torch
from torch import Generator

from stofm_pyg.loader.token_batch import TokenBatch


class SubsampleGenes:
    r"""Keeps a random subset of each cell's genes in their order: a view of the cell as if it had been
    measured with fewer transcripts.

    The share that stays is drawn between :obj:`min_share` and one, once for a batch, so that cells of
    one length stay so. The first token, CLS, always stays, as does EOS.

    Args:
        min_share (float, optional): The smallest share of its genes that a cell keeps, rounded.
            (default: :obj:`0.5`)
        eos_token_id (int, optional): The token at the end of a cell, if there is one.
            (default: :obj:`None`)

    Raises:
        ValueError: If the share is out of bounds.
    """

    def __init__(self, min_share: float = 0.5, eos_token_id: int | None = None):
        if not 0 < min_share <= 1:
            raise ValueError(f"'min_share' must lie in (0, 1] (got {min_share})")
        self.min_share = min_share
        self.eos_token_id = eos_token_id

    def __call__(self, batch: TokenBatch, generator: Generator) -> TokenBatch:
        r"""Returns the batch with fewer genes.

        Args:
            batch (TokenBatch): The cells, without labels.
            generator (torch.Generator): The source of all that is random.

        Raises:
            ValueError: If the batch has labels.
        """
        if batch.labels is not None:
            raise ValueError("Genes are already masked; apply SubsampleGenes before MaskGenes")
        share = self.min_share + (1 - self.min_share) * torch.rand((), generator=generator)
        genes = torch.ones_like(batch.tokens, dtype=torch.bool)
        genes[batch.ptr[:-1][batch.lengths > 0]] = False
        if self.eos_token_id is not None:
            genes &= batch.tokens != self.eos_token_id
        count = (share * batch.count(genes)).round()
        keep = ~genes | (batch.random_ranks(genes, generator) < count[batch.rows])
        return replace(batch, tokens=batch.tokens[keep], lengths=batch.count(keep))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(min_share={self.min_share})"
