import importlib.util
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stofm_pyg.transforms import SpatialRadiusGraph
from stofm_pyg.transforms import neighbors as _radius_edges
from stofm_pyg.transforms.neighbors import nearest_neighbors, radius_edges


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 8))
def test_agrees_with_a_naive_search(seed, num_points, num_neighbors):
    # Few distinct places, so that many distances tie.
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4, size=(num_points, 2)).astype(float)
    near = nearest_neighbors(torch.from_numpy(points), num_neighbors)
    for i in range(num_points):
        distance = np.linalg.norm(points - points[i], axis=1)
        expected = sorted((d, j) for j, d in enumerate(distance) if j != i)[:num_neighbors]
        assert near[i].tolist() == [j for _, j in expected]


def test_rows_are_a_selection():
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([7, 3, 39])
    assert torch.equal(nearest_neighbors(points, 5, rows), nearest_neighbors(points, 5)[rows])


@pytest.mark.parametrize("degrees", [17.0, 60.0])
def test_a_turned_lattice_has_the_same_neighbours(degrees):
    axis = torch.arange(12.0, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    angle = torch.tensor(np.radians(degrees))
    matrix = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]]).double()
    assert torch.equal(nearest_neighbors(points, 6), nearest_neighbors(points @ matrix, 6))


needs_torch_cluster = pytest.mark.skipif(
    importlib.util.find_spec("torch_cluster") is None, reason="torch-cluster could not be built"
)
backends = pytest.mark.parametrize(
    "backend", ["brute force", "scipy", pytest.param("torch_cluster", marks=needs_torch_cluster)]
)

sizes = st.tuples(st.integers(1, 40), st.just(2))
free = arrays(np.float64, sizes, elements=st.floats(-50, 50, width=32))
# A few places only, so that many cells coincide and many pairs lie exactly on the radius.
on_lattice = arrays(np.int64, sizes, elements=st.integers(0, 5)).map(np.float64)
radii = st.one_of(st.sampled_from([1.0, math.sqrt(2), 2.0, math.sqrt(5), 3.0]), st.floats(0.01, 200))


def edges(pos, radius, backend):
    with pytest.MonkeyPatch.context() as patch:
        if backend != "brute force":
            patch.setattr(_radius_edges, "BRUTE_FORCE", 0)
        if backend == "scipy":
            patch.setitem(sys.modules, "torch_cluster", None)
        return radius_edges(torch.as_tensor(pos), radius)


def naive(pos, radius):
    return [
        [i, j]
        for i in range(len(pos))
        for j in range(len(pos))
        if i != j and math.dist(pos[i], pos[j]) <= radius * (1 + 1e-6)
    ]


@backends
@settings(max_examples=40)
@given(st.one_of(free, on_lattice), radii)
@example(np.zeros((30, 2)), 1.0)
@example(np.zeros((1, 2)), 1.0)
def test_equals_comparing_all_pairs(backend, pos, radius):
    edge_index, distance = edges(pos, radius, backend)
    expected = naive(pos.tolist(), radius)
    assert edge_index.dtype == torch.int64 and distance.dtype == torch.float64
    assert edge_index.t().tolist() == expected
    assert distance.tolist() == pytest.approx(
        [math.dist(pos[i], pos[j]) for i, j in expected], rel=1e-12, abs=1e-100
    )


@backends
@pytest.mark.parametrize("num", [1, 2, 40])
def test_no_pair(backend, num):
    pos = torch.arange(2.0 * num).reshape(num, 2) * 100
    edge_index, distance = edges(pos, 1.0, backend)
    assert edge_index.shape == (2, 0) and edge_index.dtype == torch.int64
    assert distance.shape == (0,) and distance.dtype == torch.float64


@backends
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_positions_with_many_neighbors(backend, dtype, make_slice):
    # More neighbours than the default cap of torch-cluster, which would drop some at random.
    pos = make_slice(700, dtype=dtype).pos
    dense = torch.cdist(pos.double(), pos.double(), compute_mode="donot_use_mm_for_euclid_dist")
    # A radius near six that no distance is near.
    values = dense[(dense > 5.8) & (dense < 6.2)].sort().values
    widest = int(values.diff().argmax())
    radius = float(values[widest] + values[widest + 1]) / 2

    edge_index, distance = edges(pos, radius, backend)
    expected = (dense.fill_diagonal_(math.inf) <= radius).nonzero().t()
    assert torch.bincount(edge_index[0]).max() > 100
    assert torch.equal(edge_index, expected)
    assert torch.allclose(distance, dense[expected[0], expected[1]])


@needs_torch_cluster
@pytest.mark.parametrize("radius", [1.0, math.sqrt(2), 2.5, 4.0])
def test_backends_agree_exactly(lattice, make_slice, radius):
    for pos in (lattice(12, 12), lattice(12, 12).repeat(3, 1) * 0.7 + 1e4, make_slice(500).pos):
        first, second, third = (
            edges(pos, radius, backend) for backend in ("brute force", "scipy", "torch_cluster")
        )
        assert torch.equal(first[0], second[0]) and torch.equal(first[0], third[0])
        assert torch.equal(first[1], second[1]) and torch.equal(first[1], third[1])


@needs_torch_cluster
def test_which_backend_is_used(monkeypatch, make_slice):
    import torch_cluster

    calls = []
    original = torch_cluster.radius

    def recorded(pos, *args, **kwargs):
        calls.append(len(pos))
        return original(pos, *args, **kwargs)

    monkeypatch.setattr(torch_cluster, "radius", recorded)
    monkeypatch.setattr(_radius_edges, "BRUTE_FORCE", 50)
    for num in (1, 50, 51, 200):
        radius_edges(make_slice(num).pos, 1.0)
    assert calls == [51, 200]


def test_points_and_edges_in_blocks_give_the_same(monkeypatch, make_slice):
    monkeypatch.setattr(_radius_edges, "BRUTE_FORCE", 50)
    data = SpatialRadiusGraph(1.5)(make_slice(300))
    want = radius_edges(data.pos, 1.5)
    for size in (1, 7, 100, 299, 300):
        monkeypatch.setattr(_radius_edges, "POINTS_PER_SEARCH", size)
        found = radius_edges(data.pos, 1.5)
        assert all(torch.equal(one, other) for one, other in zip(found, want, strict=True))
    monkeypatch.setattr(_radius_edges, "EDGES_PER_BLOCK", 50)
    _radius_edges.check_distances(data)
    data.edge_attr[[60, 75, 130]] += 1
    source, target = data.edge_index[:, 60].tolist()
    with pytest.raises(ValueError, match=f"3 of .* the first from node {source} to {target}: "):
        _radius_edges.check_distances(data)
