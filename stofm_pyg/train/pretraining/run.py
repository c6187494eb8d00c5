from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stofm_pyg.corpus import Corpus
from stofm_pyg.train.engine.devices import find_device
from stofm_pyg.train.pretraining.config import PretrainConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINTS, CURVES, CELLS = "checkpoints", "tensorboard", "cells"


@dataclass(frozen=True)
class PretrainRun:
    r"""What all stages of a run have in common.

    Args:
        corpus (Corpus): All slices.
        config (PretrainConfig): The configuration.
        out (Path): The folder of the run.
        accelerator (Accelerator, optional): What started the processes. (default: :obj:`None`)
        num_workers (int, optional): Processes that load subpatches. (default: :obj:`0`)
        stop (Callable, optional): Says whether to end after the step. (default: :obj:`None`)
        resume (bool, optional): Whether to go on from what is in the folder. (default: :obj:`False`)
        device_name (str, optional): Where to compute without an accelerator; :obj:`"auto"` is a GPU
            where there is one. (default: :obj:`"auto"`)
        progress (bool, optional): Whether to show progress bars. (default: :obj:`True`)
        began_with (dict, optional): Hashes of what else the run was given, by name.
            (default: :obj:`{}`)
    """

    corpus: Corpus
    config: PretrainConfig
    out: Path
    accelerator: Accelerator | None = None
    num_workers: int = 0
    stop: Callable[[], bool] | None = None
    resume: bool = False
    device_name: str = "auto"
    progress: bool = True
    began_with: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def held_out(self) -> Corpus:
        r"""The slices that are not trained on; there may be none."""
        if self.config.held_out == 0:
            return self.corpus.select([])
        return self.corpus.select(held_out_names(self.corpus, self.config.held_out))

    @cached_property
    def train(self) -> Corpus:
        r"""The slices to train on."""
        held = set(self.held_out.names)
        return self.corpus.select([name for name in self.corpus.names if name not in held])

    @property
    def first(self) -> bool:
        r"""Whether this is the process that writes."""
        return self.accelerator is None or self.accelerator.is_main_process

    @property
    def share(self) -> tuple[int, int]:
        r"""The number of this process, and how many there are."""
        if self.accelerator is None:
            return 0, 1
        return self.accelerator.process_index, self.accelerator.num_processes

    @property
    def sharded(self) -> bool:
        r"""Whether parameters are spread over the processes (FSDP)."""
        return self.accelerator is not None and self.accelerator.distributed_type.value == "FSDP"

    @property
    def device(self) -> torch.device:
        r"""Where this process computes."""
        if self.accelerator is not None:
            return self.accelerator.device
        return find_device(self.device_name)

    @property
    def shown(self) -> bool:
        r"""Whether this process shows its progress."""
        return self.first and self.progress

    def wait(self):
        r"""Waits for all processes."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    def any(self, value: bool) -> bool:
        r"""Whether a value is true in any process."""
        if self.accelerator is None or self.accelerator.num_processes == 1:
            return value
        flag = torch.tensor([float(value)], device=self.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def marks(self) -> dict[str, Any]:
        r"""What must not change between a run and its continuation, by name."""
        config = self.config.to_dict()
        return {"corpus": self.corpus.fingerprint, **self.began_with, **_flat(config)}

    def check(self, marks: dict[str, Any], where: Path):
        r"""Checks that something was written by a run with this configuration and corpus.

        Raises:
            ValueError: It was not; the message says what changed.
        """
        now = self.marks()
        names = [name for name in {**marks, **now} if marks.get(name) != now.get(name)]
        changed = [f"{name} {marks.get(name)} -> {now.get(name)}" for name in names]
        if changed:
            raise ValueError(
                f"'{where}' is of another run ({', '.join(changed)}); go on with the same configuration "
                f"and corpus, or begin anew in another folder"
            )


def held_out_names(corpus: Corpus, wanted: int | list[str]) -> list[str]:
    r"""Returns the names of the slices to hold out, given those or a number, which means the last ones.

    Raises:
        ValueError: A name is unknown, or no slice is left to train on.
    """
    if isinstance(wanted, int):
        if not 1 <= wanted < len(corpus):
            raise ValueError(
                f"'held_out' must leave a slice to train on and one to test on (got {wanted} of "
                f"{len(corpus)} slices); lower it, or build a corpus of more slices"
            )
        return corpus.names[-wanted:]
    names = corpus.select(wanted).names
    if not names or len(names) == len(corpus):
        raise ValueError(
            f"'held_out' names {len(names)} of {len(corpus)} slices; hold out one or more, and leave "
            f"one or more to train on"
        )
    return names


def _flat(config: dict[str, Any], where: str = "") -> dict[str, Any]:
    out = {}
    for key, value in config.items():
        if isinstance(value, dict) and key != "objectives":
            out |= _flat(value, f"{where}{key}.")
        else:
            out[f"{where}{key}"] = json.dumps(value, sort_keys=True)
    return out
