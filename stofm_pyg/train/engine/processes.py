from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stofm_pyg.train.engine.micro_batch import MicroBatch

if TYPE_CHECKING:
    from accelerate import Accelerator

class Processes:
    r"""What the processes of a run do together; nothing of it is left in a run without an accelerator.

    Args:
        accelerator (Accelerator, optional): What started them; a single process without.
            (default: :obj:`None`)
    """

    def __init__(self, accelerator: Accelerator | None = None):
        self.accelerator = accelerator
        self.number = 1 if accelerator is None else accelerator.num_processes
        self.rank = 0 if accelerator is None else accelerator.process_index
        kind = "NO" if accelerator is None else accelerator.distributed_type.value
        #: Whether parameters are spread over the processes.
        self.sharded = kind == "FSDP"
        if kind in ("DEEPSPEED", "MEGATRON_LM"):
            raise ValueError(f"The trainer does not run on {kind}; choose FSDP in 'accelerate config'")
        if accelerator is not None and accelerator.gradient_accumulation_steps != 1:
            raise ValueError(
                f"'gradient_accumulation_steps' of the accelerator must be 1 (got "
                f"{accelerator.gradient_accumulation_steps}); a step accumulates its micro-batches by "
                f"itself, give it more of them"
            )
        if accelerator is not None and accelerator.mixed_precision not in ("no", "bf16"):
            raise ValueError(
                f"'mixed_precision' of the accelerator must be 'no' or 'bf16' (got "
                f"'{accelerator.mixed_precision}'), whose range is that of float32"
            )

    def prepare(self, module: torch.nn.Module) -> torch.nn.Module:
        r"""Wraps a module as the accelerator wants it, on its device."""
        if self.accelerator is None:
            return module
        # FSDP asks for an optimiser in the same call; ours is made of the wrapped parameters.
        model, _ = self.accelerator.prepare(module, torch.optim.SGD(module.parameters(), lr=0.0))
        return model

    def device(self, module: torch.nn.Module) -> torch.device:
        r"""The device of this process."""
        if self.accelerator is None:
            return next(module.parameters()).device
        return self.accelerator.device

    def sum(self, values: Tensor) -> Tensor:
        r"""Adds up tensors of one shape over all processes."""
        return values if self.number == 1 else self.accelerator.reduce(values, "sum")

    def shares(self, counts: Tensor) -> Tensor:
        r"""Returns which share of all items of a step each micro-batch has.

        Args:
            counts (torch.Tensor): The number of items by micro-batch and loss :math:`(M, K)`, int64.

        Raises:
            ValueError: Processes have different numbers of micro-batches, which would hang them.
        """
        length = counts.size(0)
        total = self.sum(torch.cat([counts.sum(dim=0), counts.new_tensor([length, length**2])]))
        if self.number > 1:
            first, second = total[-2:].tolist()
            if first**2 != self.number * second:
                raise ValueError(
                    f"All processes must have the same number of micro-batches in a step (got {length} "
                    f"in process {self.rank} and {first} in all {self.number}); add fillers, "
                    f"'MicroBatch(batch, counted=False)', or deal them by a 'BatchPlan'"
                )
        return counts / total[:-2].clamp(min=1)

    def accumulating(self, model: torch.nn.Module, last: bool) -> AbstractContextManager:
        r"""The context of a micro-batch: gradients go to the other processes after the last alone."""
        return nullcontext() if last or self.number == 1 else self.accelerator.no_sync(model)

    def backward(self, loss: Tensor):
        r"""Runs the backward pass of a part of a sum over all processes."""
        if self.accelerator is None:
            loss.backward()
        else:  # Gradients are averaged over the processes, but losses add up.
            self.accelerator.backward(loss * self.number)

    def clip(self, model: torch.nn.Module, max_norm: float = 1.0) -> Tensor:
        r"""Scales gradients down to a norm and returns what it was."""
        # The accelerator's own would compare the parameters with those of all models it ever had.
        if hasattr(model, "clip_grad_norm_"):  # FSDP 1, where a process knows its part alone.
            return model.clip_grad_norm_(max_norm)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

    def gather(self, value: Any) -> list[Any]:
        r"""Returns what each process gave."""
        if self.number == 1:
            return [value]
        values = [None] * self.number
        torch.distributed.all_gather_object(values, value)
        return values


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
