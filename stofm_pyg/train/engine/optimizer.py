import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import Parameter

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class OptimizerConfig:
    r"""The optimiser of a :class:`Trainer` and its schedule.

    Args:
        name (str, optional): :obj:`"adamw"` or :obj:`"adam"`. (default: :obj:`"adamw"`)
        beta_1 (float, optional): The decay of the mean of gradients. (default: :obj:`0.9`)
        beta_2 (float, optional): The decay of the mean of their squares. (default: :obj:`0.999`)
        schedule (str, optional): What becomes of the learning rate after the warm-up: it falls to zero
            along a :obj:`"cosine"` or is :obj:`"linear"`, or stays :obj:`"constant"`.
            (default: :obj:`"cosine"`)
        warmup (float, optional): The share of the steps in which it rises to its peak.
            (default: :obj:`0.1`)
        clip_norm (float, optional): The largest norm of a gradient. (default: :obj:`1.0`)

    Raises:
        ValueError: A name is unknown, or a number out of its range.
    """

    name: str = "adamw"
    beta_1: float = 0.9
    beta_2: float = 0.999
    schedule: str = "cosine"
    warmup: float = 0.1
    clip_norm: float = 1.0

    def __post_init__(self):
        if self.name not in OPTIMIZERS:
            raise ValueError(f"Unknown optimiser '{self.name}'; known: {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"Unknown schedule '{self.schedule}'; known: {', '.join(SCHEDULES)}")
        if not (0 <= self.beta_1 < 1 and 0 <= self.beta_2 < 1 and 0 <= self.warmup < 1):
            raise ValueError(
                f"'beta_1', 'beta_2' and 'warmup' must lie in [0, 1) (got {self.beta_1}, {self.beta_2} "
                f"and {self.warmup})"
            )
        if not self.clip_norm > 0:
            raise ValueError(f"'clip_norm' must be positive (got {self.clip_norm})")

    def make(self, params: Iterable[Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        r"""Returns the optimiser of some parameters."""
        betas = (self.beta_1, self.beta_2)
        kind = OPTIMIZERS[self.name]
        return kind(params, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)

    def rate(self, step: int, num_steps: int) -> float:
        r"""The share of the peak learning rate at a step."""
        warmup = max(1, round(self.warmup * num_steps)) if self.warmup > 0 else 0
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, num_steps - warmup))
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1.0 - progress if self.schedule == "linear" else 1.0
