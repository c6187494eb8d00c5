import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.utils import contains_self_loops, is_undirected

from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import ConnectVirtualCells, SpatialRadiusGraph

CELL, CLS, VIRTUAL = NodeType.CELL, NodeType.CLS, NodeType.VIRTUAL


def make_data(node_type):
    node_type = torch.tensor(node_type, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(len(node_type))
    pos = torch.rand(len(node_type), 2, generator=generator) * 3
    return SpatialRadiusGraph(1.5)(Data(pos=pos, node_type=node_type))


def test_by_hand():
    data = Data(
        pos=torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [9.0, 9.0]]),
        node_type=torch.tensor([CELL, CELL, VIRTUAL, CLS], dtype=torch.uint8),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        edge_attr=torch.tensor([[3.0], [3.0]]),
    )
    data = ConnectVirtualCells()(data)
    pairs = map(tuple, data.edge_index.t().tolist())
    length = dict(zip(pairs, data.edge_attr.view(-1).tolist(), strict=True))
    expected = {(0, 1): 3.0, (0, 2): 5.0, (1, 2): 4.0, (0, 3): 0.0, (1, 3): 0.0, (2, 3): 0.0}
    assert data.num_edges == 12
    assert length == expected | {(j, i): value for (i, j), value in expected.items()}


@settings(max_examples=50)
@given(st.lists(st.sampled_from([CELL, CELL, CELL, CLS, VIRTUAL]), min_size=1, max_size=30))
def test_edges_and_distances(node_type):
    data = make_data(node_type)
    out = ConnectVirtualCells()(data)
    hubs = [i for i, kind in enumerate(node_type) if kind != CELL]
    num_hubs, num_cells = len(hubs), len(node_type) - len(hubs)
    added = 2 * num_hubs * num_cells + num_hubs * (num_hubs - 1)
    assert out.num_edges == data.num_edges + added
    assert out.edge_attr.shape == (out.num_edges, 1) and out.edge_attr.dtype == torch.float32
    # What was there comes first, as it was.
    assert torch.equal(out.edge_index[:, : data.num_edges], data.edge_index)
    assert torch.equal(out.edge_attr[: data.num_edges], data.edge_attr)

    pairs = list(map(tuple, out.edge_index.t().tolist()))
    assert len(set(pairs)) == len(pairs)
    for hub in hubs:
        assert {j for i, j in pairs if i == hub} == set(range(len(node_type))) - {hub}
    assert not contains_self_loops(out.edge_index)
    if out.num_edges > 0:
        assert is_undirected(out.edge_index, out.edge_attr, num_nodes=len(node_type))
    source, target = out.edge_index
    distance = (out.pos[source] - out.pos[target]).norm(dim=1)
    has_cls = (out.node_type[source] == CLS) | (out.node_type[target] == CLS)
    assert torch.allclose(out.edge_attr.view(-1), distance.masked_fill(has_cls, 0.0), atol=1e-6)


def test_positions_in_double_precision():
    data = make_data([CELL, CELL, VIRTUAL])
    data.pos = data.pos.double()
    assert ConnectVirtualCells()(data).edge_attr.dtype == torch.float32


@pytest.mark.parametrize("has_node_type", [True, False])
def test_without_virtual_cells_and_cls(has_node_type):
    data = make_data([CELL] * 20)
    if not has_node_type:
        del data.node_type
    out = ConnectVirtualCells()(data)
    assert data.num_edges > 0
    assert torch.equal(out.edge_index, data.edge_index)
    assert torch.equal(out.edge_attr, data.edge_attr)


def test_input_is_not_changed(unchanged):
    unchanged(ConnectVirtualCells(), make_data([CELL, VIRTUAL, CELL, CLS]))


def test_needs_a_graph():
    data = make_data([CELL, VIRTUAL, CELL])
    del data.edge_index, data.edge_attr
    with pytest.raises(ValueError, match="SpatialRadiusGraph"):
        ConnectVirtualCells()(data)


def test_repr():
    assert str(ConnectVirtualCells()) == "ConnectVirtualCells()"
