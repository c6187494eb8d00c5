import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from anndata import AnnData

from benchmarks.data import BenchmarkData
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

    learns = seeded = True

    def __init__(self, preset: str = "small", config: dict | None = None, device: str = "auto"):
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
            run = Path(folder) / "run"
            pretrain(corpus, run, config, device=self.device, num_workers=1, progress=False)
            model = SToFM.from_pretrained(run)
        return data.divide([model.embed_anndata(source, seed=seed).numpy() for source in data.sources])


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
        return data.divide(
            [self.model.embed_anndata(source, seed=seed, **where).numpy() for source in data.sources]
        )
