import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.methods.coordinates import Coordinates
from tests.benchmarks.benchmark_case import Slices


def test_depends_on_position_alone_and_not_on_its_unit():
    generator = torch.Generator().manual_seed(0)
    pos = torch.rand(20, 2, generator=generator)
    first = Data(x=torch.zeros(20, 3), pos=pos, node_type=torch.zeros(20))
    second = Data(x=torch.ones(20, 3), pos=100 * pos + 7, node_type=torch.zeros(20))
    a, b = Coordinates().embed(Slices([first, second]), 0)
    np.testing.assert_allclose(a, b, atol=1e-3)
    assert np.abs(a[:, :2]).max() <= 1
