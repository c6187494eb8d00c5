import math

import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.transforms import AddCLS, AddVirtualCells, SpatialRadiusGraph


def _make_slice(num_cells=400, max_clusters=0, cls=False, radius=2.0, seed=0):
    """A random slice with graph and `cell_id`; virtual cells and CLS where asked."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_cells, 3, generator=generator)
    pos = torch.rand(num_cells, 2, generator=generator, dtype=torch.float64) * math.sqrt(num_cells)
    node_type = torch.zeros(num_cells, dtype=torch.uint8)
    data = Data(x=x, pos=pos, node_type=node_type, cell_id=torch.arange(num_cells))
    data = SpatialRadiusGraph(radius)(data)
    if max_clusters > 0:
        data = AddVirtualCells(max_clusters)(data)
    return AddCLS()(data) if cls else data


def _turn(pos, degrees):
    """Positions turned around the origin."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return pos @ pos.new_tensor([[cos, sin], [-sin, cos]])


@pytest.fixture(scope="session")
def make_slice():
    return _make_slice


@pytest.fixture(scope="session")
def turn():
    return _turn
