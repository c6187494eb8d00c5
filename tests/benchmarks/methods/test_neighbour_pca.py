import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.methods.neighbour_pca import NeighbourPCA
from tests.benchmarks.benchmark_case import Slices


def test_own_features_beside_the_mean_of_the_nearest_others():
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.1, 0.0], [9.0, 9.0]])
    data = Data(x=torch.zeros(4, 1), pos=pos, node_type=torch.tensor([0, 0, 0, 2]))
    (out,) = NeighbourPCA(num_neighbors=1).embed(Slices([data], [[[1], [2], [4]]]), 0)
    np.testing.assert_allclose(out, [[1, 2], [2, 1], [4, 2]])


def test_a_slice_with_fewer_cells_than_neighbours():
    data = Data(x=torch.zeros(2, 1), pos=torch.eye(2), node_type=torch.zeros(2))
    (out,) = NeighbourPCA(num_neighbors=25).embed(Slices([data], [[[1.0], [3.0]]]), 0)
    np.testing.assert_allclose(out, [[1, 3], [3, 1]])
