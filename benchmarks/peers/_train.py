import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from stofm_pyg.train import Trainer


def train(
    objective: torch.nn.Module, batches: Iterable[Any], num_steps: int, lr: float, seed: int
) -> tuple[list[dict[str, float]], float]:
    r"""Trains a peer, in place: the same optimiser and schedule for all, that of
    :class:`~stofm_pyg.train.Trainer`.

    How much is computed is given by a number of steps, whose batches are equally large on all slices,
    and not by a clock, so that the result follows from the seed.

    Args:
        objective (torch.nn.Module): From a batch to a dictionary of losses.
        batches (iterable): The batches.
        num_steps (int): The number of steps.
        lr (float): The peak learning rate.
        seed (int): The seed of what the objective draws.

    Returns:
        The losses of each step, and the median time of a step in milliseconds.
    """
    times: list[float] = []
    trainer = Trainer(
        objective,
        lr,
        seed=seed,
        stop=lambda: bool(times.append(time.perf_counter())),  # Asked in every step; never stops.
    )
    history = trainer.fit(batches, num_steps)
    return history, 1e3 * float(np.median(np.diff(times))) if len(times) > 1 else 0.0
