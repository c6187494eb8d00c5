from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from stofm_pyg.train.engine.micro_batch import MicroBatch, as_micro_batches, item_counts
from stofm_pyg.train.engine.optimizer import OptimizerConfig
from stofm_pyg.train.engine.processes import Processes, check_finite, step_scalars
from stofm_pyg.train.engine.random_state import random_state, seeded, set_random_state
from stofm_pyg.train.engine.sharded_state import gather_state, spread_module, spread_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator


class Trainer:
    r"""Minimises what a module returns as :obj:`"loss"`; it knows nothing else of the module.

    AdamW, the gradient clipped to a norm of one, the learning rate warmed up linearly over the first
    tenth of the steps and then annealed to zero along a cosine, unless told otherwise.

    A step is a batch, or a list of :class:`MicroBatch` whose gradients add up; each process has its own,
    equally many. A module with a method :obj:`counts(batch)`, which returns of how many items each of
    its :math:`K` losses is the mean, is called as :obj:`module(batch, share)` with the shares
    :math:`(K)` that a micro-batch has of all items of the step, and returns losses that add up. Without
    it, each micro-batch counts the same. So a step means the same on any number of processes.

    A run that was broken off goes on as if it had not been: keep :meth:`state_dict` after a step, and
    later pass it to :meth:`load_state_dict` and the batches that follow to :meth:`fit`. The number of
    processes may change in between.

    Args:
        module (torch.nn.Module): From a batch to a dictionary of scalars with the key :obj:`"loss"`;
            what requires no gradient stays as it is.
        lr (float, optional): The peak learning rate. (default: :obj:`1e-3`)
        weight_decay (float, optional): The weight decay. (default: :obj:`0.01`)
        on_step (Callable, optional): Called after each step with the number of steps done and the
            scalars of the step, those of all processes together, and :obj:`"grad_norm"`, before it was
            clipped. (default: :obj:`None`)
        accelerator (Accelerator, optional): Several processes, or bf16, by
            :class:`accelerate.Accelerator`; one plain process without. (default: :obj:`None`)
        seed (int, optional): The seed of what is random in the module: a micro-batch draws numbers that
            follow from seed, step and its place in the step, whichever process has it. Without, torch's
            global generator is used. (default: :obj:`None`)
        stop (Callable, optional): Asked in every step whether to end after it, as :class:`Termination`
            is; one process that says so ends all. (default: :obj:`None`)
        optimizer (OptimizerConfig, optional): The optimiser and its schedule. (default: :obj:`None`)
    """

    def __init__(
        self,
        module: torch.nn.Module,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        on_step: Callable[[int, dict[str, float]], None] | None = None,
        *,
        accelerator: Accelerator | None = None,
        seed: int | None = None,
        stop: Callable[[], bool] | None = None,
        optimizer: OptimizerConfig | None = None,
    ):
        if not 0 < lr < float("inf"):
            raise ValueError(f"'lr' must be positive and finite (got {lr})")
        if seed is not None and seed < 0:
            raise ValueError(f"'seed' must be at least 0 (got {seed})")
        self.module = module
        self.lr = lr
        self.weight_decay = weight_decay
        self.on_step = on_step
        self.seed = seed
        self.stop = stop
        self.optimizer = optimizer or OptimizerConfig()
        self.step = 0
        #: Whether the last :meth:`fit` ended because :obj:`stop` said so.
        self.stopped = False
        self._processes = Processes(accelerator)
        self._model: torch.nn.Module | None = None
        self._resumed: dict[str, Any] | None = None

    def fit(self, steps: Iterable[Any], num_steps: int) -> list[dict[str, float]]:
        r"""Trains on the first batches of a loader, one step each, until :obj:`num_steps` are done,
        those of a loaded state among them.

        Args:
            steps (iterable): The steps to be done, each a batch or a list of :class:`MicroBatch`.
            num_steps (int): The number of steps after which the learning rate is zero.

        Returns:
            The scalars of every step that was done here.

        Raises:
            FloatingPointError: If a loss or the gradient is not finite, in all processes. The module and
                :attr:`step` are those of the step before.
        """
        self._begin(num_steps)
        history = []
        for step in islice(steps, max(0, num_steps - self.step)):
            scalars, self.stopped = self._descend(as_micro_batches(step))
            history.append(scalars)
            if self.on_step is not None:
                self.on_step(self.step, scalars)
            if self.stopped:
                break
        self.module.eval()
        return history

    @property
    def wrapped(self) -> torch.nn.Module:
        r"""The module as the processes share it, which is what all of them may call together."""
        return self.module if self._model is None else self._model

    @property
    def current_lr(self) -> float:
        r"""The learning rate of the next step."""
        return self._schedule.get_last_lr()[0]

    def state_dict(self) -> dict[str, Any]:
        r"""Returns all that the next steps depend on: weights, optimiser, schedule, the number of steps
        done, and torch's random state. All processes must call it, and the first has it."""
        if self._processes.sharded:
            module, optimizer = gather_state(self._model, self._optimizer, self._names)
        else:
            module, optimizer = self.module.state_dict(), self._optimizer.state_dict()
        return {
            "step": self.step,
            "module": module,
            "optimizer": optimizer,
            "schedule": self._schedule.state_dict(),
            **random_state(self._device),
        }

    def load_state_dict(self, state: dict[str, Any]):
        r"""Lets the next :meth:`fit` go on from a state, which every process must have; weights are
        loaded at once."""
        if self._processes.sharded and self._model is not None:
            spread_module(self._model, state["module"])
        else:
            self.module.load_state_dict(state["module"])
        self._resumed = state

    def _begin(self, num_steps: int):
        trained = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError("No parameter of the module requires a gradient; unfreeze some")
        if self._model is None:
            self._names = list(trained)
            self._model = self._processes.prepare(self.module)
        self._device = self._processes.device(self.module)
        params = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = self.optimizer.make(params, self.lr, self.weight_decay)
        self._schedule = LambdaLR(self._optimizer, lambda step: self.optimizer.rate(step, num_steps))
        self.step, self.stopped = 0, False
        self._resume()
        self._model.train()

    def _resume(self):
        state, self._resumed = self._resumed, None
        if state is None:
            return
        optimizer = copy.deepcopy(state["optimizer"])  # It would be trained on, and is the caller's.
        if self._processes.sharded:
            spread_optimizer(self._model, self._optimizer, self._names, optimizer)
        else:
            self._optimizer.load_state_dict(optimizer)
        self._schedule.load_state_dict(state["schedule"])
        self.step = state["step"]
        set_random_state(state, self._device)

    def _descend(self, parts: list[MicroBatch]) -> tuple[dict[str, float], bool]:
        processes = self._processes
        shares = processes.shares(item_counts(self.module, parts).to(self._device))
        self._optimizer.zero_grad(set_to_none=True)
        rows = []
        for number, (part, share) in enumerate(zip(parts, shares, strict=True), start=1):
            place = (number - 1) * processes.number + processes.rank
            numbers = None if self.seed is None else [self.seed, self.step, place]
            gradients = processes.accumulating(self._model, last=number == len(parts))
            with gradients, seeded(self._device, numbers):
                losses = self._losses(part.batch.to(self._device), share)
                processes.backward(losses["loss"])
            rows.append({name: value.detach() for name, value in losses.items()})
        norm = processes.clip(self._model, self.optimizer.clip_norm)
        stop = self.stop is not None and self.stop()
        scalars, stopped = step_scalars(processes, rows, norm, stop)
        check_finite(processes, scalars, rows, parts, self.step + 1, self.lr)
        self._optimizer.step()
        self._schedule.step()
        self.step += 1
        return scalars, stopped

    def _losses(self, batch: Any, share: Tensor) -> dict[str, Tensor]:
        if hasattr(self.module, "counts"):
            return self._model(batch, share)
        return {name: value * share.squeeze() for name, value in self._model(batch).items()}
