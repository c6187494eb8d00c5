import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.methods.ring_pca import RingPCA
from tests.benchmarks.benchmark_case import Slices


def test_means_over_rings_in_spacings():
    # A line with a spacing of 3: rings hold the cells at 1 and 2, 3 and 4, 5 to 8 places away.
    pos = 3 * torch.stack([torch.arange(12.0), torch.zeros(12)], dim=1)
    x = np.arange(12.0)[:, None] ** 2
    node_type = torch.tensor([0] * 12 + [2])
    data = Data(x=torch.zeros(13, 1), pos=torch.cat([pos, pos[:1]]), node_type=node_type)
    (out,) = RingPCA().embed(Slices([data], [x]), 0)
    assert out.shape == (12, 4)
    places = np.arange(12)
    away = np.abs(places[:, None] - places)
    for column, (low, high) in enumerate(((0, 2), (2, 4), (4, 8)), start=1):
        inside = (away > low) & (away <= high)
        np.testing.assert_allclose(out[:, column], inside @ x[:, 0] / inside.sum(axis=1))
    np.testing.assert_allclose(out[:, 0], x[:, 0])


def test_a_ring_without_cells():
    data = Data(x=torch.zeros(2, 1), pos=torch.eye(2), node_type=torch.zeros(2))
    (out,) = RingPCA().embed(Slices([data], [[[1.0], [3.0]]]), 0)
    np.testing.assert_allclose(out, [[1, 3, 0, 0], [3, 1, 0, 0]])
