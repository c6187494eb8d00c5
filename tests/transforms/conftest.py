import math

import pytest
import torch
from torch_geometric.data import Data


def _make_slice(num_cells=200, num_features=4, seed=0, dtype=torch.float64):
    """Random features, and random positions with one cell per unit of area on average."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_cells, num_features, generator=generator)
    pos = torch.rand(num_cells, 2, generator=generator, dtype=torch.float64) * math.sqrt(num_cells)
    return Data(x=x, pos=pos.to(dtype))


def _lattice(rows, columns):
    """Positions [rows * columns, 2] with spacing one, row by row, in double precision."""
    row, column = torch.arange(rows), torch.arange(columns)
    return torch.cartesian_prod(row, column).double()


def _turn(pos, degrees):
    """Positions turned around the origin."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return pos @ pos.new_tensor([[cos, sin], [-sin, cos]])


def _unchanged(transform, data):
    """Applies a transform and checks that the slice it got is as it was."""
    before = data.clone()
    out = transform(data)
    assert set(data.keys()) == set(before.keys())
    for key in before.keys():
        assert torch.equal(data[key], before[key]), key
    return out


@pytest.fixture(scope="session")
def make_slice():
    return _make_slice


@pytest.fixture(scope="session")
def lattice():
    return _lattice


@pytest.fixture(scope="session")
def turn():
    return _turn


@pytest.fixture(scope="session")
def unchanged():
    return _unchanged
