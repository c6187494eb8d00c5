import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg._seeds import Draws
from stofm_pyg.transforms._random_cells import check_rate, random_cells


@functional_transform("mask_cells")
class MaskCells(BaseTransform):
    r"""Chooses the cells that masked cell modelling hides (functional name: :obj:`mask_cells`).

    Stores which nodes are masked in :obj:`data.mask` :math:`(N)` and their features in
    :obj:`data.target` :math:`(M, F)`. The model puts its mask vector in their place; virtual cells and
    CLS are never masked.

    Args:
        rate (float, optional): The share of cells to mask. (default: :obj:`0.1`)
        seed (int, optional): The seed; torch's global generator without. (default: :obj:`None`)

    Raises:
        ValueError: The rate is not in (0, 1].
    """

    def __init__(self, rate: float = 0.1, seed: int | None = None):
        self.rate = check_rate(rate)
        self.draws = Draws(seed)

    def forward(self, data: Data) -> Data:
        if data.x is None:
            raise ValueError("The slice has no features; set 'data.x' to a tensor of shape [N, F]")
        chosen = random_cells(data, self.rate, self.draws.generator())
        data.mask = torch.zeros(data.num_nodes, dtype=torch.bool)
        data.mask[chosen] = True
        data.target = data.x[chosen].clone()
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(rate={self.rate})"
