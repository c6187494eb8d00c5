import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from anndata import AnnData

from benchmarks.data import BenchmarkData
from benchmarks.methods.stofm import with_steps
from benchmarks.step_times import StepTimes
from stofm_pyg.corpus import build_corpus
from stofm_pyg.data import GeneVocab
from stofm_pyg.models import SToFM
from stofm_pyg.train import PRESETS, PretrainConfig, pretrain


class Pretrained:
    r"""SToFM by the way of large data: a corpus on disk, :meth:`pretrain`, and the model that it left.

    Args:
        preset (str, optional): The preset. (default: :obj:`"small"`)
        config (dict, optional): Values other than those of the preset. (default: :obj:`None`)
        device (str, optional): Where to train. (default: :obj:`"auto"`)
    """

    learns = seeded = trains = True

    def __init__(self, preset: str = "small", config: dict | None = None, device: str = "auto"):
        #: The number of steps; as many as the preset says without.
        self.steps: int | None = None
        #: What :meth:`StepTimes.info` says.
        self.info: dict[str, float] = {}
        self.config = PretrainConfig.from_dict(config or {}, PRESETS[preset])
        self.device = device

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, source in enumerate(data.sources_without(without)):
                if isinstance(source, AnnData):
                    source.write_h5ad(f"{folder}/{number}.h5ad")
                    source = f"{folder}/{number}.h5ad"
                files.append(source)
            vocab = GeneVocab.from_slices(files, layer=data.settings.layer)
            corpus = build_corpus(files, f"{folder}/corpus", vocab, data.settings)
            config = replace(self.config, seed=seed, held_out=0)
            if self.steps is not None:
                config = PretrainConfig.from_dict(with_steps({}, self.steps), config)
            run, times = Path(folder) / "run", StepTimes()
            pretrain(
                corpus, run, config, device=self.device, num_workers=1, progress=False, stop=times
            )
            self.info = times.info()
            model = SToFM.from_pretrained(run)
        return data.embedded_by(model, seed)


class SavedModel:
    r"""A model that was saved, as it is.

    Args:
        directory (str): Its directory.
    """

    learns = False

    def __init__(self, directory: str):
        self.model = SToFM.from_pretrained(directory)

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        settings = data.settings
        where = {"slice_key": settings.slice_key, "layer": settings.layer}
        return data.embedded_by(self.model, seed, **where)
