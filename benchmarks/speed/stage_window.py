import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from torch_geometric.data.data import BaseData

from benchmarks.speed.stopwatch import Stopwatch
from stofm_pyg.train.engine.checkpoints import Checkpoints
from stofm_pyg.train.engine.loader import PlanLoader
from stofm_pyg.train.engine.processes import Processes
from stofm_pyg.train.engine.trainer import AdamW, LambdaLR, Trainer
from stofm_pyg.train.pretraining.curves import PretrainCurves
from stofm_pyg.train.pretraining.held_out_slices import HeldOutSlices
from stofm_pyg.train.pretraining.stages import run_stage

WAITING = "waiting for data"
# What a step takes; the others come once in a while.
STEP_PARTS = (WAITING, "moving", "forward", "backward", "optimiser", "curves", "rest")
WRAPPED = (
    (BaseData, "to", "moving"),
    (Trainer, "_losses", "forward"),
    (Processes, "backward", "backward"),
    (Processes, "clip", "optimiser"),
    (AdamW, "step", "optimiser"),
    (LambdaLR, "step", "optimiser"),
    (PretrainCurves, "add", "curves"),
    (HeldOutSlices, "evaluate", "evaluation"),
    (HeldOutSlices, "baselines", "baselines"),
    (HeldOutSlices, "embed", "picture"),
    (sys.modules[run_stage.__module__], "draw_clusters", "picture"),
    (PretrainCurves, "add_picture", "picture"),
    (Trainer, "state_dict", "checkpoint"),
    (Checkpoints, "save", "checkpoint"),
)


class StageWindow:
    r"""Watches some steps of a stage of pre-training, from one request for data to another, and lets
    the stage end after them: it is what :meth:`~stofm_pyg.train.pretraining._pretrain.pretrain` takes as
    :obj:`stop`.

    Args:
        watch (Stopwatch): The stopwatch, which the parts of the stage are wrapped by.
        warm_up (int): The steps before.
        steps (int): The steps that are watched.
    """

    def __init__(self, watch: Stopwatch, warm_up: int, steps: int):
        self.watch = watch
        self.warm_up = warm_up
        self.steps = steps
        #: The loader of the stage.
        self.loader: PlanLoader | None = None
        self._marks: list[tuple[float, dict[str, float]]] = []
        for owner, name, label in WRAPPED:
            watch.wrap(owner, name, label)
        original, window = PlanLoader.__iter__, self
        watch.replace(PlanLoader, "__iter__", lambda loader: window._iterate(loader, original(loader)))

    def __call__(self) -> bool:
        r"""Whether all is seen."""
        return len(self._marks) == 2

    @property
    def cells(self) -> int:
        r"""The cells of the subpatches of the watched steps, those that are left out at random among
        them."""
        dataset, plan = self.loader.dataset.dataset, self.loader.batch_sampler.plan
        virtual = [shard.num_virtual for shard in dataset.corpus.shards]
        steps = range(self.warm_up, self.warm_up + self.steps)
        chosen = [index for step in steps for index, _, counted in plan.step(step) if counted]
        return sum(int(dataset.sizes[i]) - virtual[int(dataset.slice_of[i])] for i in chosen)

    @property
    def parts(self) -> dict[str, float]:
        r"""The seconds of each part of an average step."""
        (start, before), (end, after) = self._marks
        spent = {label: after[label] - before.get(label, 0.0) for label in after}
        spent["rest"] = end - start - sum(spent.values())
        return {label: spent.get(label, 0.0) / self.steps for label in STEP_PARTS}

    def each(self, label: str) -> float | None:
        r"""The seconds of one call, of all that there were; :obj:`None` if there was none."""
        calls = self.watch.calls[label]
        return self.watch.seconds[label] / calls if calls else None

    def _iterate(self, loader: PlanLoader, batches: Iterator[Any]) -> Iterator[Any]:
        self.loader = loader
        done = 0
        while True:
            if done in (self.warm_up, self.warm_up + self.steps):
                self._marks.append((perf_counter(), dict(self.watch.seconds)))
            with self.watch.timing(WAITING):
                batch = next(batches, None)
            if batch is None:
                return
            done += 1
            yield batch
