import torch
from torch_geometric.data import Data

from stofm_pyg.transforms._append_nodes import append_nodes


def make_data():
    return Data(
        x=torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]),
        node_type=torch.zeros(3, dtype=torch.uint8),
        domain=torch.tensor([4, 5, 6]),
        codes=torch.tensor([[1, 1], [2, 2], [3, 3]], dtype=torch.int32),
        inside=torch.tensor([True, False, True]),
        score=torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        edge_attr=torch.ones(2, 1),
        name="left",
    )


def total(value):
    return value.sum(dim=0, keepdim=True).repeat(2, *[1] * (value.dim() - 1))


def test_values():
    data = make_data()
    values = {"node_type": torch.tensor([2, 1])}
    assert append_nodes(data, 2, values, total) is data
    assert data.num_nodes == 5
    assert data.x[3:].tolist() == [[9.0, 15.0], [9.0, 15.0]]
    assert data.score[3:].tolist() == [9.0, 9.0]
    assert data.node_type.tolist() == [0, 0, 0, 2, 1]
    assert data.domain.tolist() == [4, 5, 6, -1, -1]
    assert data.codes.tolist() == [[1, 1], [2, 2], [3, 3], [-1, -1], [-1, -1]]
    assert data.inside.tolist() == [True, False, True, False, False]


def test_types_are_kept():
    before, after = make_data(), append_nodes(make_data(), 2, {}, total)
    for key in before.node_attrs():
        assert after[key].dtype == before[key].dtype, key
        assert torch.equal(after[key][:3], before[key]), key


def test_what_does_not_belong_to_nodes_stays():
    data = make_data()
    data.genes = ["a", "b", "c"]
    append_nodes(data, 2, {}, total)
    assert data.edge_index.tolist() == [[0, 1], [1, 0]]
    assert data.edge_attr.tolist() == [[1.0], [1.0]]
    assert data.name == "left" and data.genes == ["a", "b", "c"]


def test_as_many_edges_as_nodes():
    data = make_data()
    data.edge_index, data.edge_attr = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.ones(3, 1)
    append_nodes(data, 2, {}, total)
    assert data.edge_index.shape == (2, 3) and data.edge_attr.shape == (3, 1)


def test_stated_number_of_nodes_is_mended():
    data = make_data()
    data.num_nodes = 3
    append_nodes(data, 2, {}, total)
    assert data.num_nodes == 5
