import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.transforms import AddCLS


def make_data():
    return Data(
        x=torch.ones(3, 2),
        pos=torch.full((3, 2), 7.0, dtype=torch.float64),
        cell_id=torch.tensor([5, 4, 3]),
        domain=torch.tensor([1, 2, -1]),
        inside=torch.tensor([True, True, True]),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        edge_attr=torch.ones(2, 1),
    )


def test_values(unchanged):
    data = unchanged(AddCLS(), make_data())
    assert data.num_nodes == 4
    assert data.x.tolist() == [[1.0, 1.0]] * 3 + [[0.0, 0.0]]
    assert data.pos.tolist() == [[7.0, 7.0]] * 3 + [[0.0, 0.0]]
    assert data.node_type.tolist() == [0, 0, 0, 1] and data.node_type.dtype == torch.uint8
    assert data.cell_id.tolist() == [5, 4, 3, -1]
    assert data.domain.tolist() == [1, 2, -1, -1]
    assert data.inside.tolist() == [True, True, True, False]
    assert data.edge_index.tolist() == [[0, 1], [1, 0]] and data.edge_attr.tolist() == [[1.0]] * 2


def test_node_types_are_kept():
    data = make_data()
    data.node_type = torch.tensor([0, 2, 0], dtype=torch.uint8)
    assert AddCLS()(data).node_type.tolist() == [0, 2, 0, 1]


def test_one_is_enough():
    with pytest.raises(ValueError, match="already has a CLS node; add one only"):
        AddCLS()(AddCLS()(make_data()))


def test_repr():
    assert str(AddCLS()) == "AddCLS()"
