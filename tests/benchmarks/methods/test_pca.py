import torch
from torch_geometric.data import Data

from benchmarks.methods.pca import PCA


def test_the_features_of_the_cells():
    data = Data(x=torch.arange(6.0).view(3, 2), node_type=torch.tensor([0, 0, 2]))
    (out,) = PCA().embed([data], 0, lambda work: None, None)
    assert out.tolist() == [[0, 1], [2, 3]]
