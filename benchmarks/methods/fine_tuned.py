from collections.abc import Sequence

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.data import BenchmarkData
from benchmarks.methods.stofm import SToFMFitted
from benchmarks.splits import Fold
from stofm_pyg.models import SToFM
from stofm_pyg.models.label_head import prediction_key


class FineTuned(SToFMFitted):
    r"""SToFM as a user names the types of cells by it: a call of :meth:`SToFM.fit`, without labels, and
    of each fold one of :meth:`SToFM.finetune` on its training cells and one of :meth:`SToFM.predict`.
    What the head reads, the embedding or a cell's own features, is chosen on the training cells."""

    def predict(
        self, data: BenchmarkData, folds: Sequence[Fold], seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The predicted class of the cells of each slice :math:`(N)`, -1 where none was asked for."""
        model = self.fit(data, seed, without)
        read = [s if isinstance(s, AnnData) else anndata.read_h5ad(s) for s in data.sources]
        slices = [read[source][rows].copy() for source, rows in data.rows]
        out = [np.full(item.n_obs, -1) for item in slices]
        for fold in folds:
            taught = [_with_labels(slices[i], data, i, rows) for i, rows in fold.train.items()]
            model.finetune(taught, data.label, classes=data.classes, seed=seed, progress=False)
            found = _predicted(model, slices[fold.slice], data.label)
            out[fold.slice][fold.test] = found[fold.test]
        return out


def _with_labels(item: AnnData, data: BenchmarkData, number: int, rows: np.ndarray) -> AnnData:
    # No other cell's label is in it.
    codes = np.full(item.n_obs, -1)
    codes[rows] = data.slices[number][data.label].numpy()[: item.n_obs][rows]
    item = item.copy()
    item.obs[data.label] = pd.Categorical.from_codes(codes, categories=data.classes)
    return item


def _predicted(model: SToFM, item: AnnData, label: str) -> np.ndarray:
    item = item.copy()
    del item.obs[label]
    return model.predict(item, label).obs[prediction_key(label)].cat.codes.to_numpy()
