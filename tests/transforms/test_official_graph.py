import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.utils import contains_self_loops, is_undirected

from stofm_pyg.transforms import AddCLS, OfficialGraph
from tests.official_matrix import CELL, CLS, VIRTUAL, matrix_of, official_matrix


def make_subpatch(num_cells, num_virtual=3, cls=True, coincident=0, seed=0, dtype=torch.float64):
    """Cells, the last of which repeat the first, then virtual cells (the first on a cell), then CLS."""
    generator = torch.Generator().manual_seed(seed)
    pos = 40 * torch.rand(num_cells + num_virtual, 2, generator=generator, dtype=torch.float64) - 20
    for copy in range(min(coincident, num_cells // 2)):
        pos[num_cells - 1 - copy] = pos[copy]
    if num_virtual > 0 and coincident > 0:
        pos[num_cells] = pos[0]
    kinds = torch.tensor([CELL] * num_cells + [VIRTUAL] * num_virtual, dtype=torch.uint8)
    data = Data(x=torch.ones(len(pos), 2), pos=pos.to(dtype), node_type=kinds)
    return AddCLS()(data) if cls else data


@settings(max_examples=60)
@given(
    st.integers(1, 90),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 8),
    st.sampled_from([1, 2, 7, 50]),
    st.integers(0, 1000),
)
def test_is_the_official_matrix(num_cells, num_virtual, cls, coincident, num_neighbors, seed):
    data = make_subpatch(num_cells, num_virtual, cls, coincident, seed)
    out = OfficialGraph(num_neighbors)(data)
    expected = official_matrix(data.pos, data.node_type, num_neighbors)
    np.testing.assert_allclose(matrix_of(out), expected, rtol=1e-6)
    assert out.edge_index.dtype == torch.int64 and out.edge_attr.dtype == torch.float32
    assert out.edge_attr.shape == (out.num_edges, 1)
    assert is_undirected(out.edge_index, out.edge_attr, num_nodes=out.num_nodes)
    assert not contains_self_loops(out.edge_index)


def test_by_hand():
    # Three neighbours, the node itself among them. CLS at the origin is one of the two nearest of the
    # cells at 1 and at 3, so that these do not find the cell at 6 and find each other.
    x = torch.tensor([1.0, 3.0, 6.0, 20.0, 0.0])
    kinds = torch.tensor([CELL, CELL, CELL, CELL, CLS], dtype=torch.uint8)
    data = OfficialGraph(3)(Data(pos=torch.stack([x, torch.zeros(5)], dim=1), node_type=kinds))
    pairs = list(map(tuple, data.edge_index.t().tolist()))
    length = dict(zip(pairs, data.edge_attr.view(-1).tolist(), strict=True))
    expected = {(0, 1): 2.0, (0, 2): 5.0, (1, 2): 3.0, (1, 3): 17.0, (2, 3): 14.0}
    assert length == expected | {(j, i): value for (i, j), value in expected.items()}


def test_a_virtual_cell_takes_the_place_of_a_neighbor():
    x = torch.tensor([0.0, 2.0, 3.0, 9.0, 0.5])
    kinds = torch.tensor([CELL] * 4 + [VIRTUAL], dtype=torch.uint8)
    pos = torch.stack([x, torch.zeros(5)], dim=1)
    near = OfficialGraph(2)(Data(pos=pos, node_type=kinds))
    pairs = set(map(tuple, near.edge_index.t().tolist()))
    # The nearest other node: virtual for cell 0, each other for 1 and 2, 2 for the cell at 9.
    cells = {(1, 2), (2, 1), (2, 3), (3, 2)}
    hub = {(4, i) for i in range(4)} | {(i, 4) for i in range(4)}
    assert pairs == cells | hub


def test_few_nodes():
    # The official search asks for one neighbour less than there are nodes, itself included.
    assert OfficialGraph()(make_subpatch(1, 0, cls=False)).num_edges == 0
    assert OfficialGraph()(make_subpatch(1, 0)).num_edges == 0
    two = OfficialGraph()(make_subpatch(2, 0, cls=False))
    assert two.num_edges == 0
    assert OfficialGraph()(make_subpatch(1, 1)).edge_index.tolist() == [[0, 1], [1, 0]]


def test_coincident_cells_are_far():
    pos = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    data = OfficialGraph()(Data(pos=pos, node_type=torch.zeros(4, dtype=torch.uint8)))
    assert (data.edge_attr > 0).all()
    assert (0, 1) not in set(map(tuple, data.edge_index.t().tolist()))


def test_edges_that_were_there_are_replaced():
    data = make_subpatch(20)
    expected = OfficialGraph()(data.clone())
    data.edge_index, data.edge_attr = torch.tensor([[0], [5]]), torch.tensor([[7.0]])
    out = OfficialGraph()(data)
    assert torch.equal(out.edge_index, expected.edge_index)
    assert torch.equal(out.edge_attr, expected.edge_attr)


def test_positions_in_single_precision_and_no_types():
    data = make_subpatch(30, 0, cls=False, dtype=torch.float32)
    expected = OfficialGraph(5)(data.clone())
    del data.node_type
    out = OfficialGraph(5)(data)
    assert torch.equal(out.edge_index, expected.edge_index)
    np.testing.assert_allclose(matrix_of(expected), official_matrix(data.pos, [0] * 30, 5), rtol=1e-6)


def test_input_is_not_changed(unchanged):
    unchanged(OfficialGraph(), make_subpatch(20))


def test_bad_argument():
    with pytest.raises(ValueError, match=r"'num_neighbors' must be at least 1 \(got 0\)"):
        OfficialGraph(0)


def test_repr():
    assert repr(OfficialGraph()) == "OfficialGraph(num_neighbors=50)"
