from collections.abc import Sequence

import numpy as np
from anndata import AnnData

from benchmarks.data import BenchmarkData
from benchmarks.methods.stofm import SToFMFitted
from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models.features import PCAFeatures


class UnscaledFitted(SToFMFitted):
    r"""SToFM on principal components of equal variance, rather than scaled by what neighbours share of
    them: all else as in :class:`SToFMFitted`."""

    def fit_arguments(self, data: BenchmarkData, sources: Sequence[str | AnnData]):
        features = self.kwargs.get("features", "auto")
        if features not in ("auto", "pca"):
            raise ValueError(f"Features '{features}' are no components, so that none is unscaled")
        return {**self.kwargs, "features": equal_components(sources, data.settings)}


def equal_components(sources: Sequence[str | AnnData], settings: SliceSettings) -> PCAFeatures:
    r"""Principal components of slices, each of the standard deviation one.

    Args:
        sources (sequence of str or AnnData): The slices.
        settings (SliceSettings): How they are made.
    """
    readers = [SliceReader(source, settings, required=False) for source in sources]
    slices = [reader.read(name) for reader in readers for name in reader.rows]
    features = PCAFeatures.fit(slices, settings.num_features, settings.spatial_key, settings.seed)
    features.factor = np.ones_like(features.factor)
    x = np.concatenate([features.encode(adata).numpy() for adata in slices])
    std = x.std(axis=0, dtype=np.float64)
    features.factor = np.where(std > 0, 1 / np.maximum(std, 1e-12), 0.0)
    return features
