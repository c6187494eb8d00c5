import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch_geometric.data import Batch

from benchmarks.quiet import quiet
from benchmarks.speed.memory import measure_peak
from benchmarks.speed.stage_window import STEP_PARTS, WAITING, StageWindow
from benchmarks.speed.stopwatch import Stopwatch
from stofm_pyg.corpus import Corpus, CorpusDataset
from stofm_pyg.corpus.features import features_path
from stofm_pyg.models import CellEncoder
from stofm_pyg.train.engine.batch_plan import BatchPlan
from stofm_pyg.train.engine.loader import PlanLoader
from stofm_pyg.train.pretraining._pretrain import FEATURES, pretrain
from stofm_pyg.train.pretraining.cell_encoder import prepare_cell_encoder
from stofm_pyg.train.pretraining.config import PretrainConfig, StageConfig
from stofm_pyg.train.pretraining.features import encode_corpus
from stofm_pyg.train.pretraining.run import PretrainRun
from stofm_pyg.train.pretraining.transforms import training_transform

STAGES = ("stage_1", "stage_2")


class PretrainStages:
    r"""Times pre-training on a corpus, stage by stage, by :meth:`~stofm_pyg.train.pretrain`
    itself.

    Args:
        corpus (Corpus): The corpus; its last slice is held out.
        config (PretrainConfig): The configuration. Its cell encoder is not adapted, as that takes a
            number of steps that does not grow with the corpus, and no other time in the stages.
        out (Path): A folder for the runs.
        steps (int): The steps of a stage that are timed.
        warm_up (int): The steps before.
        num_workers (int): The processes that load subpatches.
        accelerator (Accelerator, optional): A GPU. (default: :obj:`None`)
    """

    def __init__(
        self,
        corpus: Corpus,
        config: PretrainConfig,
        out: Path,
        steps: int,
        warm_up: int,
        num_workers: int,
        accelerator: Any = None,
    ):
        self.corpus = corpus
        adaptation = replace(config.adaptation, num_steps=0)
        self.config = replace(config, adaptation=adaptation, held_out=1)
        self.out = out
        self.steps, self.warm_up = steps, warm_up
        self.num_workers = num_workers
        self.accelerator = accelerator
        self.run = PretrainRun(corpus, self.config, out, accelerator)
        self.device = self.run.device
        self.encoder: CellEncoder | None = None

    def encode(self) -> dict[str, Any]:
        r"""Embeds the whole corpus by a new encoder, and says how long that took."""
        self.encoder = prepare_cell_encoder(self.run).to(self.device)
        folders: list[Path] = []
        measured = measured_whole(
            lambda: folders.append(encode_corpus(self.encoder, self.corpus, self.out / FEATURES)),
            self.device,
        )
        self.features = folders[0]
        size = sum(features_path(shard, self.features).stat().st_size for shard in self.corpus.shards)
        return measured | {
            "cells_per_second": self.corpus.num_cells / measured["median_s"],
            "bytes_per_cell": size / self.corpus.num_cells,
        }

    def stage(self, name: str) -> dict[str, Any]:
        r"""Trains some steps of a stage, and says how long a pass over the corpus takes: the steps that
        were timed, times as many as there are, and what else a pass has.

        Args:
            name (str): :obj:`"stage_1"` or :obj:`"stage_2"`.
        """
        stage = self._long_enough(getattr(self.config, name))
        off = {other: replace(getattr(self.config, other), num_epochs=0) for other in STAGES}
        config = replace(self.config, **{**off, name: stage})
        out = self.out / name
        out.mkdir()
        (out / FEATURES).symlink_to((self.out / FEATURES).resolve(), target_is_directory=True)
        with Stopwatch(self.device) as watch:
            window = StageWindow(watch, self.warm_up, self.steps)
            measured = measured_whole(lambda: self._pretrain(out, config, window), self.device)
        parts = window.parts
        step_s = sum(parts.values())
        plan = window.loader.batch_sampler.plan
        evaluations, saves = events(len(plan), stage)
        each = {label: window.each(label) for label in ("evaluation", "checkpoint")}
        pass_s = len(plan) * step_s
        pass_s += evaluations * each["evaluation"] + saves * each["checkpoint"]
        return {
            "median_s": pass_s,
            "peak_mib": measured["peak_mib"],
            "memory": measured["memory"],
            "cells_per_second": window.cells / (self.steps * step_s),
            "train_cells": self.run.train.num_cells,
            "cells_per_step": self.run.train.num_cells / len(plan),
            "steps_per_pass": len(plan),
            "steps_timed": self.steps,
            "epochs": getattr(self.config, name).num_epochs,
            "step_s": step_s,
            "parts": parts,
            "waiting_share": parts[WAITING] / step_s,
            "evaluation_s": each["evaluation"],
            "evaluate_every": stage.evaluate_every,
            "evaluations_per_pass": evaluations,
            "checkpoint_s": each["checkpoint"],
            "save_every": stage.save_every,
            "saves_per_pass": saves,
            "loader": self._loader(stage, tokens=name == "stage_2"),
        }

    def _pretrain(self, out: Path, config: PretrainConfig, window: StageWindow):
        with quiet("stofm_pyg"):
            pretrain(
                self.corpus,
                out,
                config,
                cell_encoder=self.encoder,
                accelerator=self.accelerator,
                num_workers=self.num_workers,
                stop=window,
            )

    def _long_enough(self, stage: StageConfig) -> StageConfig:
        subpatches = sum(shard.num_parts for shard in self.run.train.shards)
        steps_per_pass = math.ceil(subpatches / stage.batch_size)
        # One more, whose request for data ends the last step that is timed.
        return replace(
            stage, num_epochs=math.ceil((self.warm_up + self.steps + 1) / steps_per_pass)
        )

    def _loader(self, stage: StageConfig, tokens: bool) -> dict[str, float]:
        # What a loading process does, here in this one.
        transform = training_transform(self.corpus.settings, stage, trains_cells=tokens)
        seed = self.config.seed
        dataset = CorpusDataset(self.run.train, self.features, tokens, transform=transform, seed=seed)
        plan = BatchPlan(dataset.sizes, stage.batch_size, seed=seed)
        loader = PlanLoader(dataset, plan, 0, self.steps, stage.micro_batch_size)
        with Stopwatch() as watch:
            watch.wrap(CorpusDataset, "_read", "reading")
            watch.wrap(Batch, "from_data_list", "joining")
            for kind in dict.fromkeys(type(part) for part in transform.transforms):
                watch.wrap(kind, "forward", kind.__name__)
            start = perf_counter()
            for _ in loader:
                pass
            whole = perf_counter() - start
        seconds = {label: value / self.steps for label, value in watch.seconds.items()}
        return seconds | {"rest": whole / self.steps - sum(seconds.values())}


def events(num_steps: int, stage: StageConfig) -> tuple[int, int]:
    r"""Returns how many evaluations and how many checkpoints a pass of so many steps has."""
    ends = range(1, num_steps + 1)
    evaluated = {step for step in ends if step % stage.evaluate_every == 0 or step == num_steps}
    return len(evaluated), len(evaluated | {step for step in ends if step % stage.save_every == 0})


def measured_whole(call: Callable[[], object], device: torch.device | str = "cpu") -> dict[str, Any]:
    r"""Runs a function once: seconds as :obj:`median_s`, and the largest memory of the process
    meanwhile, all that it held before included, as :obj:`peak_mib`."""
    measured = measure_peak(call, device)
    peak = measured["peak_mib"]
    if measured["memory"] != "cuda":
        peak = _high_water() or peak
    return {"median_s": measured["seconds"], "peak_mib": peak, "memory": measured["memory"]}


def _high_water() -> float | None:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) / 1024


def describe_config(config: PretrainConfig) -> dict[str, Any]:
    r"""The sizes of the models, for the rows."""
    return {"cell_encoder": asdict(config.cell_encoder), "model": asdict(config.model)}


__all__ = ["STAGES", "STEP_PARTS", "PretrainStages", "describe_config", "events", "measured_whole"]
