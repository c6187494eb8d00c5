from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from stofm_pyg.data import Keys
from stofm_pyg.data.slices.features import get_features
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.models.features.base import Features
from stofm_pyg.models.features.spatial_signal import SpatialSignal


class ObsmFeatures(Features):
    r"""An embedding that is in :obj:`adata.obsm`, centred in each slice and scaled by what neighbours
    share of it (:class:`SpatialSignal`).

    Args:
        key (str): The key in :obj:`adata.obsm`.
        factor (np.ndarray): What each feature is multiplied by :math:`(F)`.
    """

    name = "obsm"

    def __init__(self, key: str, factor: np.ndarray):
        super().__init__()
        self.obsm = key
        self.factor = factor

    @classmethod
    def fit(cls, slices: Sequence[AnnData], key: str, spatial_key: str = Keys.SPATIAL) -> "ObsmFeatures":
        r"""Finds the scale of the features of some slices.

        Args:
            slices (sequence of AnnData): The slices.
            key (str): The key in :obj:`adata.obsm`.
            spatial_key (str, optional): The key of the positions. (default: :obj:`"spatial"`)

        Raises:
            ValueError: A slice has no such key, another number of features, or values that are not
                finite.
        """
        widths = {get_features(adata, key).shape[1] for adata in slices}
        if len(widths) > 1:
            raise ValueError(
                f"'adata.obsm[{key!r}]' has {' and '.join(map(str, sorted(widths)))} features in "
                f"different slices; compute them together"
            )

        def centred():
            for adata in slices:
                x = torch.from_numpy(get_features(adata, key)).double()
                yield x - x.mean(dim=0), torch.from_numpy(get_positions(adata, spatial_key))

        return cls(key, SpatialSignal(centred()).factor())

    @property
    def num_features(self) -> int:
        r"""The number of features."""
        return len(self.factor)

    def encode(self, adata: AnnData) -> Tensor:
        r"""Returns the features of the cells of one slice :math:`(N, F)`, float32; see
        :meth:`Features.encode`."""
        return self.scale(torch.from_numpy(get_features(adata, self.obsm)))

    def scale(self, x: Tensor) -> Tensor:
        r"""Centres and scales the features of the cells of one slice :math:`(N, F)`.

        Raises:
            ValueError: There are not as many features as the model was fitted to.
        """
        self.check_width(x)
        x = x.double()
        return ((x - x.mean(dim=0)) * torch.from_numpy(self.factor)).float()

    def check_width(self, x: Tensor):
        r"""Checks features :math:`(N, F)`.

        Raises:
            ValueError: There are not as many as the model was fitted to.
        """
        if x.size(1) != self.num_features:
            raise ValueError(
                f"A cell has {x.size(1)} features, the model was fitted to {self.num_features}; make "
                f"them as then"
            )

    def config(self) -> dict[str, Any]:
        r"""The key."""
        return {"key": self.obsm}

    def tensors(self) -> dict[str, np.ndarray]:
        r"""The factor of each feature."""
        return {"factor": self.factor}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.obsm!r}, num_features={self.num_features})"
