from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from stofm_pyg._seeds import mixed_seed
from stofm_pyg.data import CellTokens
from stofm_pyg.loader.token_batch import TokenBatch


class TokenBatches:
    r"""Endless batches of cells for training, by a budget of tokens and not by a number of cells.

    Each epoch, cells of one length are shuffled, those of similar length put together, as attention is
    computed length by length, and the batches shuffled. What batch :math:`i` is, and all that is random
    in it, depends on the seed and :math:`i` alone, so that a run can go on from any step.

    Args:
        cells (CellTokens): The cells.
        max_tokens (int, optional): The largest number of tokens of a view of a batch, before the
            transform; a longer cell is a batch of its own. (default: :obj:`8192`)
        transform (Callable, optional): From a batch and a generator to a batch, as
            :class:`MaskGenes` and :class:`SubsampleGenes` are. (default: :obj:`None`)
        num_views (int, optional): How often the transform is applied to the same cells; see
            :class:`TokenBatch`. (default: :obj:`1`)
        start (int, optional): The number of the first batch. (default: :obj:`0`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Raises:
        ValueError: If there is no cell, or a number is too small.

    Example:
        >>> batches = TokenBatches(cells, max_tokens=4096, transform=MaskGenes(gene_tokens), seed=1)
        >>> for batch in islice(batches, num_steps):
        ...     loss = model(batch)
    """

    def __init__(
        self,
        cells: CellTokens,
        max_tokens: int = 8192,
        transform: Callable[[TokenBatch, Generator], TokenBatch] | None = None,
        num_views: int = 1,
        start: int = 0,
        seed: int = 0,
    ):
        if len(cells) == 0:
            raise ValueError("There is no cell to make batches of; pass at least one")
        if max_tokens < 1 or num_views < 1 or start < 0:
            raise ValueError(
                f"'max_tokens' and 'num_views' must be at least 1 and 'start' at least 0 (got "
                f"{max_tokens}, {num_views} and {start})"
            )
        self.cells = cells
        self.max_tokens = max_tokens
        self.transform = transform
        self.num_views = num_views
        self.start = start
        self.seed = seed

    def __iter__(self) -> Iterator[TokenBatch]:
        lengths = self.cells.lengths.numpy()
        # How many batches there are in an epoch depends on lengths and budget alone.
        cuts = cut_by_tokens(np.sort(lengths), self.max_tokens)
        epoch, skip = divmod(self.start, len(cuts) - 1)
        step = self.start
        while True:
            for index in self._epoch(lengths, cuts, epoch)[skip:]:
                yield self._batch(torch.from_numpy(index), step)
                step += 1
            epoch, skip = epoch + 1, 0

    def _epoch(self, lengths: np.ndarray, cuts: np.ndarray, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(lengths.size)
        order = order[np.argsort(lengths[order], kind="stable")]
        batches = np.split(order, cuts[1:-1])
        return [batches[i] for i in rng.permutation(len(batches))]

    def _batch(self, index: Tensor, step: int) -> TokenBatch:
        batch = TokenBatch.take(self.cells, index)
        if self.transform is None:
            return TokenBatch.stack([batch] * self.num_views)
        generator = Generator().manual_seed(mixed_seed([self.seed, 1, step]))
        return TokenBatch.stack([self.transform(batch, generator) for _ in range(self.num_views)])

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.cells}, max_tokens={self.max_tokens}, "
            f"num_views={self.num_views})"
        )


def batches_by_length(lengths: Tensor, token_budget: int) -> list[Tensor]:
    r"""Splits cells into batches of at most so many tokens, cells of like length together.

    Args:
        lengths (torch.Tensor): The number of tokens of each cell :math:`(N)`, on the CPU.
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
    cuts = cut_by_tokens(lengths.numpy(), token_budget)
    return [cells[start:stop] for start, stop in zip(cuts[:-1], cuts[1:], strict=True)]


def cut_by_tokens(lengths: np.ndarray, max_tokens: int) -> np.ndarray:
    r"""Returns where batches begin and the last one ends :math:`(K + 1)`, so that each has as many
    cells, in their order, as a number of tokens allows; a longer cell is a batch of its own.

    Args:
        lengths (np.ndarray): The lengths of the cells :math:`(N)`.
        max_tokens (int): The largest number of tokens of a batch.
    """
    ends = np.cumsum(lengths)
    cuts, done = [0], 0
    while cuts[-1] < ends.size:
        fits = int(np.searchsorted(ends, done + max_tokens, side="right"))
        cuts.append(max(fits, cuts[-1] + 1))
        done = ends[cuts[-1] - 1]
    return np.array(cuts)
