from collections.abc import Mapping

import numpy as np

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

    learns = True

    def __init__(self, preset: str = "small", config: Mapping | None = None, **kwargs):
        self.preset = preset
        self.config = dict(config or {})
        self.kwargs = kwargs

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        model = SToFM.fit(
            data.sources_without(without),
            settings=data.settings,
            preset=self.preset,
            config=self.config,
            seed=seed,
            progress=False,
            **self.kwargs,
        )
        return data.divide([model.embed_anndata(source, seed=seed).numpy() for source in data.sources])


class Untrained(SToFMFitted):
    r"""The control for what was learned: the same model with the weights it begins with."""

    def __init__(self, preset: str = "small", config: Mapping | None = None, **kwargs):
        stages = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
        super().__init__(preset, {**dict(config or {}), **stages}, **kwargs)
