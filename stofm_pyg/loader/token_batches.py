from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Generator, Tensor

from stofm_pyg.data import CellTokens
from stofm_pyg.loader.token_batch import TokenBatch, pad_cells, stack_views


class TokenBatches:
    r"""Endless batches of cells for training, by a budget of tokens and not by a number of cells.

    Each epoch, cells of one length are shuffled, those of similar length put together so that little
    is padding, and the batches shuffled. What batch :math:`i` is, and all that is random in it, depends
    on the seed and :math:`i` alone, so that a run can go on from any step.

    Args:
        cells (CellTokens): The cells.
        max_tokens (int, optional): The largest number of tokens of a batch, padding included; a longer
            cell is a batch of its own. It counts for each view. (default: :obj:`8192`)
        pad_token_id (int, optional): The token of padding. (default: :obj:`0`)
        transform (Callable, optional): From a batch and a generator to a batch, as
            :class:`MaskGenes` and :class:`SubsampleGenes` are. (default: :obj:`None`)
        num_views (int, optional): How often the transform is applied to the same cells; see
            :class:`TokenBatch`. (default: :obj:`1`)
        start (int, optional): The number of the first batch. (default: :obj:`0`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Example:
        >>> batches = TokenBatches(cells, max_tokens=4096, transform=MaskGenes(gene_tokens), seed=1)
        >>> for batch in islice(batches, num_steps):
        ...     loss = model(batch)
    """

    def __init__(
        self,
        cells: CellTokens,
        max_tokens: int = 8192,
        pad_token_id: int = 0,
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
        self.pad_token_id = pad_token_id
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
        batch = pad_cells(self.cells, index, self.pad_token_id)
        if self.transform is None:
            return stack_views([batch] * self.num_views, self.pad_token_id)
        # Seeds that differ little make generators that are alike at first; a hash parts them.
        seed = int(np.random.SeedSequence([self.seed, 1, step]).generate_state(1, np.uint64)[0] >> 1)
        generator = Generator().manual_seed(seed)
        views = [self.transform(batch, generator) for _ in range(self.num_views)]
        return stack_views(views, self.pad_token_id)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.cells}, max_tokens={self.max_tokens}, "
            f"num_views={self.num_views})"
        )


def cut_by_tokens(lengths: np.ndarray, max_tokens: int) -> np.ndarray:
    r"""Returns where batches begin and the last one ends, so that the longest cell of each, times its
    number of cells, is at most :obj:`max_tokens`; a longer cell is a batch of its own.

    Args:
        lengths (np.ndarray): The lengths of the cells :math:`(N)`, rising.
        max_tokens (int): The largest number of tokens of a batch, padding included.
    """
    cuts = [0]
    while cuts[-1] < lengths.size:
        start = cuts[-1]
        room = lengths[start : start + max_tokens]
        fits = int(np.searchsorted(room * np.arange(1, room.size + 1), max_tokens, side="right"))
        cuts.append(start + max(1, fits))
    return np.array(cuts)
