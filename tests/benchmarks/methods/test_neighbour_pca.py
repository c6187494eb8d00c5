import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.methods.neighbour_pca import NeighbourPCA


def test_own_features_beside_the_mean_of_the_nearest_others():
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.1, 0.0], [9.0, 9.0]])
    x = torch.tensor([[1.0], [2.0], [4.0], [100.0]])
    data = Data(x=x, pos=pos, node_type=torch.tensor([0, 0, 0, 2]))
    (out,) = NeighbourPCA(num_neighbors=1).embed([data], 0, lambda work: None, None)
    np.testing.assert_allclose(out, [[1, 2], [2, 1], [4, 2]])


def test_a_slice_with_fewer_cells_than_neighbours():
    data = Data(x=torch.tensor([[1.0], [3.0]]), pos=torch.eye(2), node_type=torch.zeros(2))
    (out,) = NeighbourPCA(num_neighbors=25).embed([data], 0, lambda work: None, None)
    np.testing.assert_allclose(out, [[1, 3], [3, 1]])
