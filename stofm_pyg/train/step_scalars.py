import math

import torch
from torch import Tensor

from stofm_pyg.train.micro_batch import MicroBatch
from stofm_pyg.train.processes import Processes


def step_scalars(
    processes: Processes, rows: list[dict[str, Tensor]], norm: Tensor, stop: bool
) -> tuple[dict[str, float], bool]:
    r"""Returns the scalars of a step, those of all processes together, and whether one wants to stop.

    Args:
        processes (Processes): The processes.
        rows (list[dict[str, torch.Tensor]]): The scalars of each micro-batch of this process.
        norm (torch.Tensor): The norm of the gradient, the same in all processes.
        stop (bool): Whether this process wants to stop.
    """
    names = list(rows[0])
    values = [sum(row[name] for row in rows) for name in names]
    values += [norm / processes.number, norm.new_tensor(float(stop))]
    dtype = torch.float32 if norm.device.type == "mps" else torch.float64
    flat = processes.sum(torch.stack([value.to(dtype).view(()) for value in values])).tolist()
    return {**dict(zip(names, flat, strict=False)), "grad_norm": flat[-2]}, flat[-1] > 0


def check_finite(
    processes: Processes,
    scalars: dict[str, float],
    rows: list[dict[str, Tensor]],
    parts: list[MicroBatch],
    step: int,
    lr: float,
):
    r"""Refuses a step with a loss or a gradient that is not finite, in all processes alike.

    Args:
        processes (Processes): The processes.
        scalars (dict[str, float]): The scalars of the step.
        rows (list[dict[str, torch.Tensor]]): The scalars of each micro-batch of this process.
        parts (list[MicroBatch]): The micro-batches of this process.
        step (int): The number of the step.
        lr (float): The peak learning rate.

    Raises:
        FloatingPointError: With the slices of the micro-batches that are to blame, or of all where the
            losses are finite and the gradient is not.
    """
    what = "loss" if not math.isfinite(scalars["loss"]) else "grad_norm"
    if math.isfinite(scalars[what]):
        return
    blamed = [
        part
        for part, row in zip(parts, rows, strict=True)
        if what == "grad_norm" or not torch.isfinite(row["loss"])
    ]
    gathered = processes.gather([name for part in blamed for name in part.names])
    names = sorted({name for some in gathered for name in some})
    of = f" of {', '.join(repr(name) for name in names)}" if names else ""
    kind = "loss" if what == "loss" else "gradient's norm"
    raise FloatingPointError(
        f"The {kind} of step {step} is {scalars[what]}; check the features{of} for values that are not "
        f"finite, or lower 'lr' (now {lr})"
    )
