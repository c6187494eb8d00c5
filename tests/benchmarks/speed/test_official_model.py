import sys

import pytest
import torch
from torch_geometric.data import Batch, Data

from benchmarks.speed.official_model import import_official, official_distances, official_encoder
from tests.benchmarks.speed.official_checkout import write_checkout

SIZE = {"num_hidden_layers": 2, "embedding_dim": 8, "ffn_embedding_dim": 8, "num_attention_heads": 2}
SIZE |= {"gaussian_hidden_dim": 4, "input_dim": 8}


def test_nothing_of_the_import_stays(tmp_path):
    one, other = write_checkout(tmp_path / "one"), write_checkout(tmp_path / "other", scale=2.0)
    path = list(sys.path)
    assert [import_official(folder).SCALE for folder in (one, other, one)] == [1, 2, 1]
    assert sys.path == path and not {"model", "geneformer", "model.se2transformer"} & set(sys.modules)
    with pytest.raises(ValueError, match=f"--official {tmp_path} has no .*give a checkout"):
        import_official(tmp_path)


def test_weights_depend_on_the_seed_alone(tmp_path):
    checkout = write_checkout(tmp_path / "checkout")
    a, b, c = (official_encoder(checkout, seed, **SIZE).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["gaussian.means.weight"], c["gaussian.means.weight"])
    assert a["gaussian.linear.weight"].item() == 1


def test_distances_as_a_dense_matrix():
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    data = Data(edge_index=edge_index, edge_attr=torch.tensor([[0.5], [0.5], [2.0], [2.0]]), num_nodes=3)
    expected = [[0, 0.5, 100], [0.5, 0, 2], [100, 2, 0]]
    assert official_distances(data).tolist() == [expected]
    batch = Batch.from_data_list([data, data])
    batch.edge_attr = torch.cat([data.edge_attr, 3 * data.edge_attr])
    far = [[0, 1.5, 100], [1.5, 0, 6], [100, 6, 0]]
    assert official_distances(batch).tolist() == [expected, far]
