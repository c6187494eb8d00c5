import math

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.transforms._positions import cell_mask
from stofm_pyg.transforms._random_cells import check_rate, make_generator, random_cells


@functional_transform("perturb_positions")
class PerturbPositions(BaseTransform):
    r"""Moves some cells and keeps their true distances, for pairwise distance recovery
    (functional name: :obj:`perturb_positions`).

    Gaussian noise is added to the positions of the chosen cells. The pairs to be recovered are the
    edges of the true graph that have a moved end: :obj:`data.pair_index` :math:`(2, P)`, with their
    true distances in :obj:`data.pair_distance` :math:`(P)`. The graph of the moved cells is to be
    rebuilt by the transform that built the true one, which comes next.

    Args:
        rate (float, optional): The share of cells to move. (default: :obj:`0.1`)
        sigma (float, optional): The standard deviation of the noise along each axis, in multiples of
            the mean spacing of the cells. (default: :obj:`5.0`, as in the official code)
        seed (int, optional): The seed; torch's global generator without. (default: :obj:`None`)
    """

    def __init__(self, rate: float = 0.1, sigma: float = 5.0, seed: int | None = None):
        if not 0 < sigma < float("inf"):
            raise ValueError(f"'sigma' must be positive and finite (got {sigma})")
        self.rate = check_rate(rate)
        self.sigma = sigma
        self.generator = make_generator(seed)

    def forward(self, data: Data) -> Data:
        if data.edge_index is None or data.edge_attr is None:
            raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")
        moved = random_cells(data, self.rate, self.generator)
        is_moved = torch.zeros(data.num_nodes, dtype=torch.bool)
        is_moved[moved] = True

        is_cell = cell_mask(data)
        source, target = data.edge_index
        scored = (is_moved[source] | is_moved[target]) & is_cell[source] & is_cell[target]
        data.pair_index = data.edge_index[:, scored]
        data.pair_distance = data.edge_attr[scored].view(-1)

        noise = torch.randn(moved.numel(), 2, generator=self.generator, dtype=data.pos.dtype)
        data.pos = data.pos.clone()
        data.pos[moved] += noise * self.sigma * mean_spacing(data.pos[is_cell])
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(rate={self.rate}, sigma={self.sigma})"


def mean_spacing(pos: Tensor) -> float:
    r"""The side of the square that each position has to itself, unchanged by rotation.

    The area is that of the uniform ellipse with the covariance of the positions.
    """
    if pos.size(0) < 3:
        return 1.0
    area = 4 * math.pi * torch.cov(pos.t()).det().clamp(min=0).sqrt()
    return float((area / pos.size(0)).sqrt())
