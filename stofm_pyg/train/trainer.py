import logging
import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

log = logging.getLogger(__name__)


class Trainer:
    r"""Minimises what a module returns as :obj:`"loss"`; it knows nothing else of the module.

    AdamW, the gradient clipped to a norm of one, the learning rate warmed up linearly over the first
    tenth of the steps and then annealed to zero along a cosine.

    A run that was broken off goes on as if it had not been: keep :meth:`state_dict` after a step, and
    later pass it to :meth:`load_state_dict` and the batches that follow to :meth:`fit`.

    Args:
        module (torch.nn.Module): From a batch to a dictionary of scalars with the key :obj:`"loss"`.
        lr (float, optional): The peak learning rate. (default: :obj:`1e-3`)
        weight_decay (float, optional): The weight decay. (default: :obj:`0.01`)
        on_step (Callable, optional): Called after each step with the number of steps done and the
            scalars of the step. (default: :obj:`None`)
    """

    def __init__(
        self,
        module: torch.nn.Module,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        on_step: Callable[[int, dict[str, float]], None] | None = None,
    ):
        if not 0 < lr < float("inf"):
            raise ValueError(f"'lr' must be positive and finite (got {lr})")
        self.module = module
        self.lr = lr
        self.weight_decay = weight_decay
        self.on_step = on_step
        self.step = 0
        self._resumed: dict[str, Any] | None = None

    def fit(self, loader: Iterable[Data], num_steps: int) -> list[dict[str, float]]:
        r"""Trains on the first batches of a loader, one step each, until :obj:`num_steps` are done,
        those of a loaded state among them.

        Returns:
            The scalars of every step that was done here.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        device = next(self.module.parameters()).device
        optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, num_steps)
        )
        self._optimizer, self._schedule, self.step = optimizer, schedule, 0
        self._resume(device)
        self.module.train()
        history = []
        rest = islice(loader, max(0, num_steps - self.step))
        for step, batch in enumerate(rest, start=self.step + 1):
            losses = self.module(batch.to(device))
            self._check(losses["loss"], step)
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            self.step = step
            history.append({name: value.item() for name, value in losses.items()})
            if self.on_step is not None:
                self.on_step(step, history[-1])
        self.module.eval()
        return history

    @property
    def current_lr(self) -> float:
        r"""The learning rate of the next step."""
        return self._schedule.get_last_lr()[0]

    def state_dict(self) -> dict[str, Any]:
        r"""Returns all that the next steps depend on: weights, optimiser, schedule, the number of steps
        done, and the state of torch's random numbers."""
        device = next(self.module.parameters()).device
        return {
            "step": self.step,
            "module": self.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]):
        r"""Lets the next :meth:`fit` go on from a state; weights are loaded at once.

        Args:
            state (dict): What :meth:`state_dict` returned.
        """
        self.module.load_state_dict(state["module"])
        self._resumed = state

    def _resume(self, device: torch.device):
        state, self._resumed = self._resumed, None
        if state is None:
            return
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.step = state["step"]
        torch.set_rng_state(state["rng"])
        if device.type == "cuda" and state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], device)

    def _check(self, loss: Tensor, step: int):
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss of step {step} is {loss.item()}; check the features for values that are not "
                f"finite, or lower 'lr' (now {self.lr})"
            )


def warmup_cosine(step: int, num_steps: int) -> float:
    r"""The share of the peak learning rate at a step: a tenth of linear warm-up, then a cosine."""
    warmup = max(1, num_steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, num_steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))
