import torch
from torch import Tensor


def token_batches(lengths: Tensor, token_budget: int) -> list[Tensor]:
    r"""Splits cells into batches of at most so many tokens, cells of like length together.

    Args:
        lengths (torch.Tensor): The number of tokens of each cell :math:`(N)`.
        token_budget (int): The largest number of tokens of a batch. A cell that is longer is a batch
            of its own.

    Returns:
        The cells of each batch, longest cells first.

    Raises:
        ValueError: If the budget is less than one.
    """
    if token_budget < 1:
        raise ValueError(f"'token_budget' must be at least 1 (got {token_budget})")
    lengths, cells = lengths.sort(descending=True, stable=True)
    ends = lengths.cumsum(0)
    batches, start, done = [], 0, 0
    while start < cells.numel():
        stop = int(torch.searchsorted(ends, done + token_budget, right=True))
        stop = max(stop, start + 1)
        batches.append(cells[start:stop])
        start, done = stop, int(ends[stop - 1])
    return batches
