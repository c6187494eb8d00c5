import torch
from torch import Generator

from stofm_pyg.loader.token_batch import TokenBatch


class SubsampleGenes:
    r"""Keeps a random subset of each cell's genes in their order: a view of the cell as if it had been
    measured with fewer transcripts.

    The share that stays is drawn between :obj:`min_share` and one, once for a batch, so that cells of
    similar length stay so and little is padding. The first token, CLS, always stays, as does EOS.

    Args:
        min_share (float, optional): The smallest share of its genes that a cell keeps, rounded.
            (default: :obj:`0.5`)
        pad_token_id (int, optional): The token of padding. (default: :obj:`0`)
        eos_token_id (int, optional): The token at the end of a cell, if there is one.
            (default: :obj:`None`)
    """

    def __init__(
        self, min_share: float = 0.5, pad_token_id: int = 0, eos_token_id: int | None = None
    ):
        if not 0 < min_share <= 1:
            raise ValueError(f"'min_share' must lie in (0, 1] (got {min_share})")
        self.min_share = min_share
        self.pad_token_id = pad_token_id
        self.eos_token_id = eos_token_id

    def __call__(self, batch: TokenBatch, generator: Generator) -> TokenBatch:
        r"""Returns the batch with fewer genes, as wide as its longest cell is now.

        Args:
            batch (TokenBatch): The cells, without labels.
            generator (torch.Generator): The source of all that is random.
        """
        if batch.labels is not None:
            raise ValueError("Genes are already masked; apply SubsampleGenes before MaskGenes")
        ids, mask = batch.input_ids, batch.attention_mask
        share = self.min_share + (1 - self.min_share) * torch.rand((), generator=generator)
        always = torch.zeros_like(mask)
        always[:, :1] = True
        if self.eos_token_id is not None:
            always |= ids == self.eos_token_id
        genes = mask & ~always
        count = (share * genes.sum(dim=1, keepdim=True)).round()
        score = torch.rand(ids.shape, generator=generator).masked_fill(~genes, 2.0)
        keep = mask & (always | (score.argsort(dim=1).argsort(dim=1) < count))

        lengths = keep.sum(dim=1)
        order = (~keep).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(lengths.max())]
        kept = torch.arange(order.size(1)) < lengths[:, None]
        ids = ids.gather(1, order).masked_fill(~kept, self.pad_token_id)
        return TokenBatch(ids, kept, cells=batch.cells, num_views=batch.num_views)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(min_share={self.min_share})"
