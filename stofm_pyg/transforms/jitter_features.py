import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg._seeds import Draws


@functional_transform("jitter_features")
class JitterFeatures(BaseTransform):
    r"""Adds Gaussian noise to the features of all nodes (functional name: :obj:`jitter_features`).

    Applied after :class:`MaskCells`, targets stay free of it.

    Args:
        std (float): The standard deviation of the noise, in the unit of the features.
        seed (int, optional): The seed; torch's global generator without. (default: :obj:`None`)

    Raises:
        ValueError: The deviation is negative or not finite, or the slice has no floating features.
    """

    def __init__(self, std: float, seed: int | None = None):
        if not 0 <= std < float("inf"):
            raise ValueError(f"'std' must be finite and not negative (got {std})")
        self.std = std
        self.draws = Draws(seed)

    def forward(self, data: Data) -> Data:
        if data.x is None or not data.x.is_floating_point():
            kind = "none" if data.x is None else f"ones of {data.x.dtype}"
            raise ValueError(f"Noise is added to features that are floating (got {kind}); see 'data.x'")
        noise = torch.randn(data.x.shape, generator=self.draws.generator(), dtype=data.x.dtype)
        data.x = data.x + self.std * noise
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(std={self.std})"
