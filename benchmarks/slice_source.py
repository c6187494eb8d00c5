from collections.abc import Sequence
from pathlib import Path

import numpy as np
from anndata import AnnData
from torch_geometric.data import Data

from benchmarks.presets import Preset
from stofm_pyg.data import Keys, slices_from_anndata
from stofm_pyg.datasets import H5adSlices, SyntheticTissue


class SliceSource:
    r"""Where the slices of a benchmark come from: h5ad files, or generated tissue.

    Args:
        files (sequence of str or None): The h5ad files; :obj:`None` for generated tissue.
        slice_key (str): The column of :obj:`obs` that tells the slices of a file apart.
        preset (Preset): The size of generated tissue.
        radius (float): The radius of the graph of the slices.
        seed (int): The seed of generated tissue, PCA and clusters.
        layer (str, optional): The layer of the raw counts in the files. (default: :obj:`None`)
    """

    def __init__(
        self,
        files: Sequence[str] | None,
        slice_key: str,
        preset: Preset,
        radius: float,
        seed: int,
        layer: str | None = None,
    ):
        self.files = files
        self.slice_key = slice_key
        self.layer = layer
        self.settings = {"radius": radius, "seed": seed}
        self.tissue = {
            "num_slices": preset.num_slices,
            "cells_per_slice": preset.cells_per_slice,
            **self.settings,
        }
        self._adata: AnnData | None = None

    def with_pca(self, label: str) -> list[Data]:
        r"""The slices with their labels and, as features, the principal components of the counts."""
        if self.files:
            return list(self._from_files(self.files, labels=(label,)))
        dataset = SyntheticTissue(labels=(label,), **self.tissue)
        self._adata = dataset.adata
        return list(dataset)

    @property
    def counts(self) -> list[AnnData | Path]:
        r"""Cells by genes, one for each file."""
        if self.files:
            return [Path(file) for file in self.files]
        if self._adata is None:
            self._adata = SyntheticTissue(**self.tissue).adata
        return [self._adata]

    def with_features(self, features: Sequence[np.ndarray]) -> list[Data]:
        r"""The slices in the same order, without labels, with their clusters made from other features.

        Args:
            features (sequence of np.ndarray): The features of the cells of each of :obj:`counts`.
        """
        out = []
        for adata, x in zip(self.counts, features, strict=True):
            if isinstance(adata, AnnData):
                out += slices_from_anndata(adata, slice_key=Keys.SLICE, features=x, **self.settings)
            else:
                out += self._from_files(adata, features=x)
        return out

    def _from_files(self, files: Sequence[str] | Path, **kwargs) -> H5adSlices:
        return H5adSlices(
            files, slice_key=self.slice_key, layer=self.layer, **kwargs, **self.settings
        )
