from collections.abc import Iterable
from typing import Any

import torch

from benchmarks.step_times import StepTimes
from stofm_pyg.train import Trainer


def train(
    objective: torch.nn.Module, batches: Iterable[Any], num_steps: int, lr: float, seed: int
) -> tuple[list[dict[str, float]], dict[str, float]]:
    r"""Trains a peer, in place: the same optimiser and schedule for all, that of
    :class:`~stofm_pyg.train.Trainer`.

    How much is computed is given by a number of steps, whose batches are equally large on all slices,
    and not by a clock, so that the result follows from the seed; :class:`~benchmarks.budget.Budget`
    turns seconds into steps.

    Args:
        objective (torch.nn.Module): From a batch to a dictionary of losses.
        batches (iterable): The batches.
        num_steps (int): The number of steps.
        lr (float): The peak learning rate.
        seed (int): The seed of what the objective draws.

    Returns:
        The losses of each step, and what :meth:`StepTimes.info` says.
    """
    times = StepTimes()
    history = Trainer(objective, lr, seed=seed, stop=times).fit(batches, num_steps)
    return history, times.info()
