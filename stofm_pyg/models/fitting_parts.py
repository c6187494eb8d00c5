import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from tqdm import tqdm

Result = TypeVar("Result")

# Parts of fewer cells say little of a cell's surroundings; what does not fit then is not the cells.
FEWEST_CELLS = 50

logger = logging.getLogger(__name__)


class FittingParts:
    r"""Parts of slices that fit into the memory of a GPU: where it is too small, first fewer of them go
    into a batch, which changes nothing, then they have fewer cells, which is said once.

    Args:
        cells_per_part (int): Cells in a part.
        batch_size (int): Parts in a batch.
    """

    def __init__(self, cells_per_part: int, batch_size: int):
        self.cells_per_part = cells_per_part
        self.batch_size = batch_size
        self._wanted = cells_per_part

    def run(self, function: Callable[[int, int], Result], bar: tqdm | None = None) -> Result:
        r"""Calls a function with the cells of a part and the parts of a batch until it fits. What did
        fit is where the next call begins.

        Args:
            function (Callable): What is called.
            bar (tqdm, optional): What it tells of its progress, set back after an attempt that did not
                fit. (default: :obj:`None`)

        Raises:
            torch.OutOfMemoryError: Not even small parts fit.
        """
        done = 0 if bar is None else bar.n
        while True:
            try:
                out = function(self.cells_per_part, self.batch_size)
                break
            except torch.OutOfMemoryError:
                if self.batch_size == 1 and self.cells_per_part <= FEWEST_CELLS:
                    raise
            # Not inside of 'except', where the error holds all tensors of the attempt.
            if self.batch_size > 1:
                self.batch_size //= 2
            else:
                self.cells_per_part = max(self.cells_per_part // 2, FEWEST_CELLS)
            if bar is not None:
                bar.update(done - bar.n)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if self.cells_per_part < self._wanted:
            logger.warning(
                "The memory of the GPU is too small for parts of %d cells; they have %d now, and "
                "embeddings differ a little from those of larger parts (cells_per_part=%d says so from "
                "the start)",
                self._wanted, self.cells_per_part, self.cells_per_part,
            )  # fmt: skip
            self._wanted = self.cells_per_part
        return out
