from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from benchmarks.data import BenchmarkData
from benchmarks.step_times import StepTimes
from stofm_pyg.models import SToFM


class SToFMFitted:
    r"""SToFM, trained without labels on the very slices that it then embeds: a call of :meth:`SToFM.fit`
    and one of :meth:`SToFM.embed`.

    Args:
        preset (str, optional): The preset. (default: :obj:`"small"`)
        config (dict, optional): Values other than those of the preset. (default: :obj:`None`)
        **kwargs (optional): Other arguments of :meth:`SToFM.fit`.
    """

    learns = seeded = trains = True

    def __init__(self, preset: str = "small", config: Mapping | None = None, **kwargs):
        #: The number of steps; as many as the preset says without.
        self.steps: int | None = None
        #: Its number of parameters, and what :meth:`StepTimes.info` says.
        self.info: dict[str, float] = {}
        self.preset = preset
        self.config = dict(config or {})
        self.kwargs = kwargs

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        return data.embedded_by(self.fit(data, seed, without), seed)

    def fit(self, data: BenchmarkData, seed: int = 0, without: int | None = None) -> SToFM:
        r"""The model that was trained on the slices."""
        times = StepTimes()
        sources = data.sources_without(without)
        model = SToFM.fit(
            sources,
            settings=data.settings,
            preset=self.preset,
            config=self.config if self.steps is None else with_steps(self.config, self.steps),
            seed=seed,
            progress=False,
            stop=times,
            **self.fit_arguments(data, sources),
        )
        self.info = {"parameters": sum(p.numel() for p in model.parameters())} | times.info()
        return model

    def fit_arguments(self, data: BenchmarkData, sources: Sequence[str | AnnData]) -> dict[str, Any]:
        r"""Other arguments of :meth:`SToFM.fit` for some sources."""
        return self.kwargs


class Untrained(SToFMFitted):
    r"""The control for what was learned: the same model with the weights it begins with."""

    trains = False

    def __init__(self, preset: str = "small", config: Mapping | None = None, **kwargs):
        stages = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
        super().__init__(preset, {**dict(config or {}), **stages}, **kwargs)


def with_steps(config: Mapping[str, Any], steps: int) -> dict[str, Any]:
    r"""Values of :class:`~stofm_pyg.train.PretrainConfig` with a number of steps of the first stage, and
    no second one."""
    stage = {**config.get("stage_1", {}), "num_epochs": steps, "max_steps": steps}
    return {**config, "stage_1": stage, "stage_2": {**config.get("stage_2", {}), "num_epochs": 0}}
