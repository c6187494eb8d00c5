from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.models.features.obsm import ObsmFeatures
from stofm_pyg.models.features.spatial_signal import SpatialSignal
from stofm_pyg.nn.node_type import cell_mask


class GivenFeatures(ObsmFeatures):
    r"""The features :obj:`x` that slices bring along as :class:`~torch_geometric.data.Data`, centred in
    each slice and scaled by what neighbours share of them (:class:`SpatialSignal`).

    Args:
        factor (np.ndarray): What each feature is multiplied by :math:`(F)`.
        center (bool, optional): Whether features are centred in each slice. (default: :obj:`True`)
    """

    name = "given"

    def __init__(self, factor: np.ndarray, center: bool = True):
        super().__init__("", factor)
        self.obsm = None
        self.center = center

    @classmethod
    def fit(cls, slices: Sequence[Data]) -> "GivenFeatures":
        r"""Finds the scale of the features of some slices.

        Args:
            slices (sequence of Data): The slices.

        Raises:
            ValueError: Slices have different numbers of features.
        """
        widths = {data.x.size(1) for data in slices}
        if len(widths) > 1:
            raise ValueError(
                f"The slices have {' and '.join(map(str, sorted(widths)))} features; compute them "
                f"together"
            )

        def centred():
            for data in slices:
                cells = cell_mask(data)
                x = data.x[cells].double()
                yield x - x.mean(dim=0), data.pos[cells]

        return cls(SpatialSignal(centred()).factor())

    @classmethod
    def unchanged(cls, num_features: int) -> "GivenFeatures":
        r"""Returns what leaves features as they are.

        Args:
            num_features (int): The number of features.
        """
        return cls(np.ones(num_features), center=False)

    def encode(self, adata: AnnData) -> Tensor:
        raise ValueError(
            "The model was fitted to the features of 'Data', which an AnnData does not have; convert it "
            "as those were, by 'slices_from_anndata', and pass the slices"
        )

    def encode_data(self, data: Data) -> Data:
        r"""Returns a slice with scaled features, those of virtual cells, too.

        Raises:
            ValueError: There are not as many features as the model was fitted to.
        """
        self.check_width(data.x)
        x = data.x.double()
        shift = x[cell_mask(data)].mean(dim=0) if self.center else 0.0
        out = data.clone()
        out.x = ((x - shift) * torch.from_numpy(self.factor)).float()
        return out

    def config(self) -> dict[str, Any]:
        r"""Whether features are centred."""
        return {"center": self.center}
