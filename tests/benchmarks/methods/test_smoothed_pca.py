import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.methods.smoothed_pca import SmoothedPCA
from tests.benchmarks.benchmark_case import Slices


def test_the_mean_of_a_cell_and_its_neighbours_standardised():
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.1, 0.0]])
    data = Data(x=torch.zeros(3, 1), pos=pos, node_type=torch.zeros(3))
    (out,) = SmoothedPCA(num_neighbors=1).embed(Slices([data], [[[1], [2], [4]]]), 0)
    mean = np.array([[1.5], [1.5], [3.0]])
    np.testing.assert_allclose(out, (mean - mean.mean()) / mean.std())


def test_a_slice_with_fewer_cells_than_neighbours():
    data = Data(x=torch.zeros(2, 1), pos=torch.eye(2), node_type=torch.zeros(2))
    (out,) = SmoothedPCA().embed(Slices([data], [[[1.0], [3.0]]]), 0)
    np.testing.assert_allclose(out, [[0], [0]])
