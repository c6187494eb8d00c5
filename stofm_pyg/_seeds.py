from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Generator
from torch.utils.data import get_worker_info

# What is being drawn for, in a list, so that each entry is told from all others.
_PLACE: ContextVar[list[int] | None] = ContextVar("stofm_pyg.draw", default=None)


def mixed_seed(numbers: Sequence[int]) -> int:
    r"""Returns a seed made of several numbers, none negative. Seeds that differ little make generators
    that are alike at first; a hash parts them."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def seeded_draw(*numbers: int) -> Iterator[None]:
    r"""A context in which torch's global generator of the CPU is seeded by some numbers; afterwards it
    is as it was."""
    # fork_rng would queue a call for CUDA each time; only the CPU's generator is in use here.
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(mixed_seed(numbers))
    try:
        with draws_for(*numbers):
            yield
    finally:
        torch.set_rng_state(state)


@contextmanager
def draws_for(*numbers: int) -> Iterator[None]:
    r"""A context in which the draws of :class:`Draws` follow from their seeds and some numbers alone,
    such as those of a subpatch and a pass, whichever process draws, and whatever it drew before."""
    token = _PLACE.set(list(numbers))
    try:
        yield
    finally:
        _PLACE.reset(token)


class Draws:
    r"""The random numbers of something that has a seed of its own, such as a transform.

    Copies of a generator, of which each worker process of a loader gets one at each pass, would draw
    the same. So numbers follow from the seed and, in :func:`draws_for`, from what is drawn for; in a
    worker of any other loader, from the seed that PyTorch gave it for this pass; else, from what was
    drawn before.

    Args:
        seed (int, optional): The seed; torch's global generator without. (default: :obj:`None`)
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self._own = None if seed is None else Generator().manual_seed(seed)
        self._place, self._there = None, None

    def generator(self) -> Generator | None:
        r"""Returns what to draw with; :obj:`None` for torch's global generator."""
        numbers, worker = _PLACE.get(), get_worker_info()
        place = worker if numbers is None else numbers
        if self.seed is None or place is None:
            return self._own
        if self._place is not place:
            numbers = [worker.seed] if numbers is None else numbers
            seed = mixed_seed([self.seed % 2**64, *numbers])
            self._place, self._there = place, Generator().manual_seed(seed)
        return self._there

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_place": None, "_there": None}
