import math

import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.transforms._random_cells import check_rate, random_cells


@pytest.mark.parametrize("rate", [0, -0.1, 1.01, math.nan])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match=rf"'rate' must lie in \(0, 1\] \(got {rate}\)"):
        check_rate(rate)


def test_good_rate():
    assert check_rate(1) == 1 and check_rate(0.25) == 0.25


@pytest.mark.parametrize("rate, count", [(0.1, 10), (0.25, 25), (1.0, 100), (0.001, 1)])
def test_share_of_the_cells(rate, count):
    node_type = torch.tensor([0, 2] * 100 + [1])
    data = Data(x=torch.zeros(201, 1), node_type=node_type)
    chosen = random_cells(data, rate, torch.Generator().manual_seed(0))
    assert chosen.numel() == count
    assert (chosen.diff() > 0).all()
    assert (node_type[chosen] == 0).all()


def test_all_cells_are_equally_likely():
    data, generator = Data(x=torch.zeros(20, 1)), torch.Generator().manual_seed(0)
    times = torch.zeros(20)
    for _ in range(2000):
        times[random_cells(data, 0.25, generator)] += 1
    # Mean 500, standard deviation about 19.
    assert times.sum() == 10_000 and (times - 500).abs().max() < 100


def test_no_cells():
    data = Data(x=torch.zeros(3, 1), node_type=torch.tensor([2, 2, 1]))
    assert random_cells(data, 0.5, None).tolist() == []
