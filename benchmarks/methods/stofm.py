import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from benchmarks.data import BenchmarkData
from stofm_pyg.models import SToFM


class SToFMFitted:
    r"""SToFM, trained without labels on the very slices that it then embeds: a call of :meth:`SToFM.fit`
    and one of :meth:`SToFM.embed`.

    Args:
        preset (str, optional): The preset. (default: :obj:`"small"`)
        config (dict, optional): Values other than those of the preset. (default: :obj:`None`)
        **kwargs (optional): Other arguments of :meth:`SToFM.fit`.
    """

    learns = seeded = True

    def __init__(self, preset: str = "small", config: Mapping | None = None, **kwargs):
        #: Its number of parameters, and the median time of a step in milliseconds.
        self.info: dict[str, float] = {}
        self.preset = preset
        self.config = dict(config or {})
        self.kwargs = kwargs

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        model = self.fit(data, seed, without)
        return data.divide([model.embed_anndata(source, seed=seed).numpy() for source in data.sources])

    def fit(self, data: BenchmarkData, seed: int = 0, without: int | None = None) -> SToFM:
        r"""The model that was trained on the slices."""
        times: list[float] = []
        sources = data.sources_without(without)
        model = SToFM.fit(
            sources,
            settings=data.settings,
            preset=self.preset,
            config=self.config,
            seed=seed,
            progress=False,
            stop=lambda: bool(times.append(time.perf_counter())),  # Asked in every step; never stops.
            **self.fit_arguments(data, sources),
        )
        self.info = {"parameters": sum(p.numel() for p in model.parameters())}
        if len(times) > 1:
            self.info["ms_per_step"] = 1e3 * float(np.median(np.diff(times)))
        return model

    def fit_arguments(self, data: BenchmarkData, sources: Sequence[str | AnnData]) -> dict[str, Any]:
        r"""Other arguments of :meth:`SToFM.fit` for some sources."""
        return self.kwargs


class Untrained(SToFMFitted):
    r"""The control for what was learned: the same model with the weights it begins with."""

    def __init__(self, preset: str = "small", config: Mapping | None = None, **kwargs):
        stages = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
        super().__init__(preset, {**dict(config or {}), **stages}, **kwargs)
