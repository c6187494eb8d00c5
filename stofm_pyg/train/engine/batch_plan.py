from collections.abc import Sequence

import numpy as np
from torch import Tensor


class BatchPlan:
    r"""Which subpatches each process trains on in each step, and how often it has seen them.

    Each pass is a new permutation of all subpatches, which follows from the seed and the number of the
    pass alone, cut into global batches. A global batch is sorted by size, the largest first, and dealt
    to the processes in turn, so that subpatches that are computed at the same time are of like size.
    Where the processes cannot be dealt equally many, a small subpatch of the batch is repeated as a
    filler, which does not count: every subpatch counts once a pass, whatever the number of processes.

    Args:
        sizes (torch.Tensor): The number of nodes of each subpatch :math:`(P)`.
        batch_size (int): The number of subpatches in a step, of all processes together.
        num_processes (int, optional): The number of processes. (default: :obj:`1`)
        rank (int, optional): The number of this process. (default: :obj:`0`)
        seed (int, optional): The seed, not negative. (default: :obj:`0`)

    Example:
        >>> plan = BatchPlan(dataset.sizes, batch_size=8, num_processes=2, rank=0)
        >>> index, draw, counted = plan.step(0)[0]
    """

    def __init__(
        self,
        sizes: Tensor | np.ndarray | Sequence[int],
        batch_size: int,
        num_processes: int = 1,
        rank: int = 0,
        seed: int = 0,
    ):
        self.sizes = np.asarray(sizes)
        if self.sizes.ndim != 1 or self.sizes.size == 0:
            raise ValueError(
                f"'sizes' must hold the size of at least one subpatch (got shape {self.sizes.shape})"
            )
        if batch_size < 1 or seed < 0:
            raise ValueError(
                f"'batch_size' must be at least 1 and 'seed' at least 0 (got {batch_size} and {seed})"
            )
        if not 0 <= rank < num_processes:
            raise ValueError(
                f"'rank' must lie between 0 and 'num_processes' - 1 (got {rank} of {num_processes})"
            )
        self.batch_size = batch_size
        self.num_processes = num_processes
        self.rank = rank
        self.seed = seed
        self._pass: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        r"""The number of steps in a pass."""
        return -(-self.sizes.size // self.batch_size)

    def step(self, step: int) -> list[tuple[int, int, bool]]:
        r"""Returns the subpatches of this process: the number of each, that of the pass, and whether it
        counts.

        Args:
            step (int): The number of steps done before, those of earlier passes among them.
        """
        return [(index, draw, counted) for (index,), draw, counted in self.micro_batches(step, 1)]

    def micro_batches(self, step: int, size: int) -> list[tuple[list[int], int, bool]]:
        r"""Returns the subpatches of this process, those that are joined into one micro-batch together;
        what is joined does not depend on the number of processes.

        Args:
            step (int): The number of steps done before.
            size (int): The largest number of subpatches in a micro-batch.
        """
        draw, number = divmod(step, len(self))
        batch = self._order(draw)[number * self.batch_size : (number + 1) * self.batch_size]
        batch = batch[np.argsort(-self.sizes[batch], kind="stable")].tolist()
        parts = [(batch[at : at + size], draw, True) for at in range(0, len(batch), size)]
        parts += [([batch[-1]], draw, False)] * (-len(parts) % self.num_processes)
        return parts[self.rank :: self.num_processes]

    def _order(self, draw: int) -> np.ndarray:
        if self._pass is None or self._pass[0] != draw:
            order = np.random.default_rng([self.seed, draw]).permutation(self.sizes.size)
            self._pass = (draw, order)
        return self._pass[1]

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.sizes.size}, batch_size={self.batch_size}, "
            f"num_processes={self.num_processes}, rank={self.rank}, seed={self.seed})"
        )
