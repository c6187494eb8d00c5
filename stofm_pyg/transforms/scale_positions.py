import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg._seeds import Draws
from stofm_pyg.transforms.check_positions import check_coordinates


@functional_transform("scale_positions")
class ScalePositions(BaseTransform):
    r"""Scales positions and the distances along edges by a random factor (functional name:
    :obj:`scale_positions`).

    As :class:`torch_geometric.transforms.RandomScale`, but with torch's random numbers, so that seeds
    of torch are enough to repeat it.

    Args:
        scale (float): The factor lies between one minus and one plus this.
        seed (int, optional): The seed; torch's global generator without. (default: :obj:`None`)

    Raises:
        ValueError: The scale is not in [0, 1).
    """

    def __init__(self, scale: float, seed: int | None = None):
        if not 0 <= scale < 1:
            raise ValueError(f"'scale' must lie in [0, 1) (got {scale})")
        self.scale = scale
        self.draws = Draws(seed)

    def forward(self, data: Data) -> Data:
        check_coordinates(data.pos)
        factor = 1 + self.scale * (2 * torch.rand((), generator=self.draws.generator()) - 1)
        data.pos = data.pos * factor.to(data.pos.dtype)
        if data.edge_attr is not None:
            data.edge_attr = data.edge_attr * factor.to(data.edge_attr.dtype)
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(scale={self.scale})"
