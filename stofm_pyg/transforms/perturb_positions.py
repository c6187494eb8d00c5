import math

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg._seeds import Draws
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms._random_cells import check_rate, random_cells
from stofm_pyg.transforms.check_positions import check_coordinates

# Cells so many times as far from the middle as the median cell are strays.
FAR_OUT = 5.0


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

    Raises:
        ValueError: The rate is not in (0, 1], the deviation is not positive, or the slice has no graph.
    """

    def __init__(self, rate: float = 0.1, sigma: float = 5.0, seed: int | None = None):
        if not 0 < sigma < float("inf"):
            raise ValueError(f"'sigma' must be positive and finite (got {sigma})")
        self.rate = check_rate(rate)
        self.sigma = sigma
        self.draws = Draws(seed)

    def forward(self, data: Data) -> Data:
        if data.edge_index is None or data.edge_attr is None:
            raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")
        check_coordinates(data.pos)
        generator = self.draws.generator()
        moved = random_cells(data, self.rate, generator)
        is_moved = torch.zeros(data.num_nodes, dtype=torch.bool)
        is_moved[moved] = True

        is_cell = cell_mask(data)
        source, target = data.edge_index
        scored = (is_moved[source] | is_moved[target]) & is_cell[source] & is_cell[target]
        data.pair_index = data.edge_index[:, scored]
        data.pair_distance = data.edge_attr[scored].view(-1)

        noise = torch.randn(moved.numel(), 2, generator=generator, dtype=data.pos.dtype)
        data.pos = data.pos.clone()
        data.pos[moved] += noise * self.sigma * mean_spacing(data.pos[is_cell])
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(rate={self.rate}, sigma={self.sigma})"


def mean_spacing(pos: Tensor) -> float:
    r"""The side of the square that each position has to itself, unchanged by rotation.

    The area is that of the uniform ellipse with the covariance of the positions, without those that are
    several times as far from the middle as most. Positions on a line have none; then it is the part of
    the line that each has to itself.
    """
    if pos.size(0) < 3:
        return 1.0
    middle = (pos - pos.mean(dim=0)).norm(dim=1)
    pos = pos[middle <= FAR_OUT * middle.median()]
    number = pos.size(0)
    cov = torch.cov(pos.t())
    minor, major = torch.linalg.eigvalsh(cov.double()).clamp(min=0).sqrt().tolist()
    if minor < major / (2 * number):
        return math.sqrt(12) * major / number
    area = 4 * math.pi * cov.det().clamp(min=0).sqrt()
    return float((area / number).sqrt())
