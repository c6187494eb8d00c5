import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch_geometric.data import Data
from torch_geometric.utils import contains_self_loops, is_undirected

from stofm_pyg.transforms import SpatialRadiusGraph
from stofm_pyg.transforms import neighbors as _radius_edges

on_lattice = arrays(
    np.int64, st.tuples(st.integers(1, 40), st.just(2)), elements=st.integers(0, 5)
)
angles = st.floats(0, 360)


def naive_cap(pos, square_radius, max_neighbors):
    """Edges of whole-numbered positions, of which each cell keeps its nearest, then the union."""
    kept = set()
    for i, (a, b) in enumerate(pos):
        near = [((a - c) ** 2 + (b - d) ** 2, j) for j, (c, d) in enumerate(pos) if i != j]
        near = sorted(pair for pair in near if pair[0] <= square_radius)
        for _, j in near[:max_neighbors]:
            kept |= {(i, j), (j, i)}
    return [list(edge) for edge in sorted(kept)]


def pairs_on_lattice(side, square_radius):
    """How many ordered pairs of a square lattice lie within a radius."""
    reach = range(-side + 1, side)
    return sum(
        (side - abs(a)) * (side - abs(b))
        for a in reach
        for b in reach
        if 0 < a * a + b * b <= square_radius
    )


def test_by_hand():
    pos = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [3.0, 0.0], [90.0, 90.0]])
    data = SpatialRadiusGraph(5.0)(Data(pos=pos))
    assert data.edge_index.tolist() == [
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
        [1, 2, 3, 0, 2, 3, 0, 1, 3, 0, 1, 2],
    ]
    assert data.edge_attr.dtype == torch.float32
    assert data.edge_attr.tolist() == [
        [d] for d in (3.0, 5.0, 3.0, 3.0, 4.0, 0.0, 5.0, 4.0, 4.0, 3.0, 0.0, 4.0)
    ]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(0.1, 5), st.sampled_from([None, 1, 3, 8]))
def test_symmetric_sorted_without_self_loops(make_slice, seed, radius, max_neighbors):
    pos = make_slice(60, seed=seed).pos
    data = SpatialRadiusGraph(radius, max_neighbors)(Data(pos=torch.cat([pos, pos[:10]])))
    edge_index, edge_attr = data.edge_index, data.edge_attr
    assert not contains_self_loops(edge_index)
    assert is_undirected(edge_index, edge_attr, num_nodes=70)
    key = edge_index[0] * 70 + edge_index[1]
    assert (key.diff() > 0).all()
    distance = (data.pos[edge_index[0]] - data.pos[edge_index[1]]).norm(dim=1, keepdim=True)
    assert torch.equal(edge_attr, distance.float())
    assert {(i, 60 + i) for i in range(10)} <= set(map(tuple, edge_index.t().tolist()))


@pytest.mark.parametrize("square_radius", [1, 2, 4, 5, 8, 9, 10, 25])
@pytest.mark.parametrize("spacing, shift", [(1.0, 0.0), (0.1, 0.3), (55.0, 12345.6)])
def test_radius_is_inclusive_on_a_lattice(lattice, square_radius, spacing, shift):
    pos = lattice(12, 12) * spacing + shift
    data = SpatialRadiusGraph(math.sqrt(square_radius) * spacing)(Data(pos=pos))
    assert data.num_edges == pairs_on_lattice(12, square_radius)


def test_radius_is_inclusive_with_many_cells(lattice):
    pos = lattice(40, 40) * 0.1
    data = SpatialRadiusGraph(0.3)(Data(pos=pos))
    assert data.num_edges == pairs_on_lattice(40, 9)


@settings(max_examples=15)
@given(angles, st.sampled_from([None, 1, 4, 6]))
def test_turning_a_lattice_changes_nothing(lattice, turn, degrees, max_neighbors):
    pos = lattice(15, 10)
    for radius in (1.0, math.sqrt(2), 3.0):
        transform = SpatialRadiusGraph(radius, max_neighbors)
        expected = transform(Data(pos=pos))
        data = transform(Data(pos=turn(pos, degrees) + 100.0))
        assert torch.equal(data.edge_index, expected.edge_index)
        assert torch.allclose(data.edge_attr, expected.edge_attr, rtol=1e-5)


@pytest.mark.parametrize("degrees", [0.0, 20.0, 45.0, 70.0])
def test_turned_lattice_in_single_precision(lattice, turn, degrees):
    # Positions of a slice are float32, and a lattice of spots has pairs exactly on the radius.
    pos = lattice(60, 60)
    expected = SpatialRadiusGraph(1.0)(Data(pos=pos))
    for spacing, shift in ((1.0, 0.0), (0.1, 0.0), (100.0, 5000.0)):
        moved = turn(pos, degrees) * spacing + shift
        data = SpatialRadiusGraph(spacing)(Data(pos=moved.float()))
        assert torch.equal(data.edge_index, expected.edge_index)


@settings(max_examples=15)
@given(angles, st.sampled_from([None, 5]))
def test_turning_random_points_changes_nothing(make_slice, turn, degrees, max_neighbors):
    pos = make_slice(300).pos
    transform = SpatialRadiusGraph(2.0, max_neighbors)
    expected = transform(Data(pos=pos))
    for moved in (turn(pos, degrees), turn(pos, degrees) * torch.tensor([-1.0, 1.0]) + 7.0):
        data = transform(Data(pos=moved))
        assert torch.equal(data.edge_index, expected.edge_index)
        assert torch.allclose(data.edge_attr, expected.edge_attr, rtol=1e-5)


@settings(max_examples=60)
@given(on_lattice, st.sampled_from([1, 2, 4, 5, 9]), st.integers(1, 12))
def test_cap_equals_a_loop(pos, square_radius, max_neighbors):
    transform = SpatialRadiusGraph(math.sqrt(square_radius), max_neighbors)
    data = transform(Data(pos=torch.from_numpy(pos).double()))
    expected = naive_cap(pos.tolist(), square_radius, max_neighbors)
    assert data.edge_index.t().tolist() == expected


@pytest.mark.parametrize("max_neighbors", [1, 5, 9])
def test_cap_of_many_cells_at_one_place(lattice, max_neighbors):
    # In any order, so that the earliest ones of a place lie anywhere.
    order = torch.randperm(240, generator=torch.Generator().manual_seed(0))
    pos = (2.0 * lattice(5, 6)).repeat_interleave(8, dim=0)[order]
    data = SpatialRadiusGraph(6.0, max_neighbors)(Data(pos=pos))
    assert data.edge_index.t().tolist() == naive_cap(pos.long().tolist(), 36, max_neighbors)


def test_cap_bounds_memory_while_the_graph_is_built(lattice):
    # 2.5 billion pairs lie within the radius, 40 GB of node numbers.
    pos = lattice(10, 10).repeat_interleave(500, dim=0)
    data = SpatialRadiusGraph(20.0, max_neighbors=5)(Data(pos=pos))
    degree = torch.bincount(data.edge_index[0])
    assert len(degree) == 50_000 and int(degree.min()) == 5
    assert (data.edge_attr == 0).all()


def test_cap_of_blocks_of_cells(monkeypatch, make_slice):
    data = make_slice(300)
    expected = SpatialRadiusGraph(3.0, 4)(data)
    monkeypatch.setattr(_radius_edges, "NEIGHBORS_PER_BLOCK", 50)
    assert torch.equal(SpatialRadiusGraph(3.0, 4)(data).edge_index, expected.edge_index)


def test_cap_keeps_the_nearest(make_slice):
    data = make_slice(200)
    distance = torch.cdist(data.pos, data.pos).fill_diagonal_(math.inf)
    out = SpatialRadiusGraph(4.0, max_neighbors=3)(data)
    kept = set(map(tuple, out.edge_index.t().tolist()))
    nearest = distance.argsort(dim=1)[:, :3].tolist()
    expected = {
        (i, j) for i, row in enumerate(nearest) for j in row if float(distance[i, j]) <= 4.0
    }
    assert kept == expected | {(j, i) for i, j in expected}


def test_cap_breaks_ties_by_node_order(lattice):
    # All four neighbours of the middle of a plus are at distance one; the arms have only it.
    pos = torch.tensor([[0.0, 0.0], [-1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [1.0, 0.0]])
    data = SpatialRadiusGraph(1.0, max_neighbors=1)(Data(pos=pos))
    assert data.edge_index.tolist() == [[0, 0, 0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 0, 0, 0, 0]]
    # On a square, corners take the earlier one of their two neighbours: 0-1, 1-0, 2-0, 3-1.
    data = SpatialRadiusGraph(1.0, max_neighbors=1)(Data(pos=lattice(2, 2)))
    assert data.edge_index.tolist() == [[0, 0, 1, 1, 2, 3], [1, 2, 0, 3, 0, 1]]


def test_cap_that_caps_nothing(make_slice):
    data = make_slice(100)
    expected = SpatialRadiusGraph(2.0)(data)
    out = SpatialRadiusGraph(2.0, max_neighbors=99)(data)
    assert torch.equal(out.edge_index, expected.edge_index)
    assert torch.equal(out.edge_attr, expected.edge_attr)


@pytest.mark.parametrize("max_neighbors", [None, 2])
def test_without_torch_cluster(monkeypatch, make_slice, max_neighbors):
    data = make_slice(400)
    expected = SpatialRadiusGraph(2.0, max_neighbors)(data)
    monkeypatch.setattr(_radius_edges, "BRUTE_FORCE", 0)
    monkeypatch.setitem(sys.modules, "torch_cluster", None)
    out = SpatialRadiusGraph(2.0, max_neighbors)(data)
    assert torch.equal(out.edge_index, expected.edge_index)
    assert torch.equal(out.edge_attr, expected.edge_attr)


@pytest.mark.parametrize("max_neighbors", [None, 1])
def test_only_cells_are_connected(max_neighbors):
    pos = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [0.5, 0.0], [0.4, 0.0]])
    node_type = torch.tensor([2, 0, 1, 0, 0, 3], dtype=torch.uint8)
    data = SpatialRadiusGraph(0.2, max_neighbors)(Data(pos=pos, node_type=node_type))
    assert data.edge_index.tolist() == [[1, 3, 3, 4], [3, 1, 4, 3]]
    assert torch.allclose(data.edge_attr, torch.full((4, 1), 0.2))


@pytest.mark.parametrize("max_neighbors", [None, 3])
@pytest.mark.parametrize("num_cells", [1, 7])
def test_no_edges(num_cells, max_neighbors):
    pos = torch.arange(2.0 * num_cells).reshape(num_cells, 2)
    data = SpatialRadiusGraph(0.5, max_neighbors)(Data(pos=pos))
    assert data.edge_index.shape == (2, 0) and data.edge_index.dtype == torch.int64
    assert data.edge_attr.shape == (0, 1) and data.edge_attr.dtype == torch.float32
    assert data.num_nodes == num_cells


@pytest.mark.parametrize("max_neighbors", [None, 2])
def test_isolated_cells(max_neighbors):
    # The first, a middle one and the last have no neighbour.
    pos = torch.tensor([[-50.0, 0], [0, 0], [50, 0], [1, 0], [2, 0], [99, 0]])
    data = SpatialRadiusGraph(1.0, max_neighbors)(Data(pos=pos))
    assert data.edge_index.tolist() == [[1, 3, 3, 4], [3, 1, 4, 3]]


def test_input_is_not_changed_and_old_edges_go(make_slice, unchanged):
    data = make_slice(30)
    data.edge_index = torch.tensor([[0], [29]])
    data.edge_attr = torch.tensor([[7.0]])
    out = unchanged(SpatialRadiusGraph(1.0), data)
    fresh = SpatialRadiusGraph(1.0)(make_slice(30))
    assert torch.equal(out.edge_index, fresh.edge_index)
    assert torch.equal(out.edge_attr, fresh.edge_attr)
    assert torch.equal(out.x, data.x) and torch.equal(out.pos, data.pos)


def test_bad_arguments():
    for radius in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"'radius' must be .* \(got {radius}\)"):
            SpatialRadiusGraph(radius)
    with pytest.raises(ValueError, match=r"'max_neighbors' must be at least 1 or None \(got 0\)"):
        SpatialRadiusGraph(1.0, max_neighbors=0)


def test_repr():
    assert str(SpatialRadiusGraph(8.0)) == "SpatialRadiusGraph(radius=8.0, max_neighbors=None)"
    assert str(SpatialRadiusGraph(1, 5)) == "SpatialRadiusGraph(radius=1, max_neighbors=5)"
