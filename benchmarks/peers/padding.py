import torch
from torch import Tensor

from stofm_pyg.loader import TokenBatch


def pad_rows(values: Tensor, batch: TokenBatch, fill: float) -> Tensor:
    r"""Returns the values of a batch's tokens :math:`(T)` as one row for each cell :math:`(B, L)`,
    filled up at the end.

    Args:
        values (torch.Tensor): The values.
        batch (TokenBatch): The cells.
        fill (float): What stands where a cell has no token.
    """
    lengths = batch.lengths
    width = int(lengths.max()) if lengths.numel() > 0 else 0
    rows = batch.rows
    places = torch.arange(rows.numel(), device=rows.device) - batch.ptr[rows]
    out = values.new_full((lengths.numel(), width), fill)
    out[rows, places] = values
    return out


def padding_of(batch: TokenBatch) -> Tensor:
    r"""Returns where :meth:`pad_rows` filled up :math:`(B, L)`."""
    return pad_rows(torch.zeros_like(batch.tokens, dtype=torch.bool), batch, True)
