from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class MicroBatch:
    r"""A part of a step's batch that goes through the module by itself.

    Args:
        batch (Batch): What the module takes.
        counted (bool, optional): Whether it counts. A filler does not: it only keeps its process in step
            with the others. (default: :obj:`True`)
    """

    batch: Any
    counted: bool = True

    @property
    def names(self) -> list[str]:
        r"""The names of the slices in it, each once, as far as its batch has a :obj:`name`."""
        name = getattr(self.batch, "name", None)
        if name is None:
            return []
        return list(dict.fromkeys([name] if isinstance(name, str) else map(str, name)))

    def pin_memory(self) -> "MicroBatch":
        r"""Returns it with its tensors in pinned memory."""
        return MicroBatch(self.batch.pin_memory(), self.counted)


def as_micro_batches(step: Any) -> list[MicroBatch]:
    r"""Returns what makes up a step, which may be given as a single batch.

    Args:
        step (Batch or list[MicroBatch]): The step.
    """
    if not isinstance(step, list):
        return [MicroBatch(step)]
    others = {type(part).__name__ for part in step if not isinstance(part, MicroBatch)}
    if others or not step:
        raise TypeError(
            f"A step must be a batch or a list of at least one 'MicroBatch' (got a list of "
            f"{', '.join(sorted(others)) or 'nothing'}); wrap each batch as 'MicroBatch(batch)'"
        )
    return step


def item_counts(module: torch.nn.Module, parts: list[MicroBatch]) -> torch.Tensor:
    r"""Returns how many items each loss of a module is a mean over, in each micro-batch.

    A module without a method :obj:`counts` counts one in each; fillers count nothing.

    Args:
        module (torch.nn.Module): The module.
        parts (list[MicroBatch]): The micro-batches.

    Returns:
        The counts :math:`(M, K)`, int64.
    """
    rows = []
    for part in parts:
        row = module.counts(part.batch).long() if hasattr(module, "counts") else torch.tensor([1])
        rows.append(row if part.counted else torch.zeros_like(row))
    return torch.stack(rows)
