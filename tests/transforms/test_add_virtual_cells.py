import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from stofm_pyg.transforms import AddCLS, AddVirtualCells, SpatialRadiusGraph

methods = pytest.mark.parametrize("method", ["igraph", "leidenalg"])


def make_blobs(centers, sizes, spread=0.3, num_features=5):
    """Cells around given places, with features of their own in every blob, in random order."""
    generator = torch.Generator().manual_seed(0)
    blob = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    blob = blob[torch.randperm(len(blob), generator=generator)]
    noise = torch.randn(len(blob), 2, generator=generator, dtype=torch.float64)
    pos = torch.tensor(centers, dtype=torch.float64)[blob] + spread * noise
    mean = 4 * torch.randn(len(sizes), num_features, generator=generator)
    x = mean[blob] + 0.1 * torch.randn(len(blob), num_features, generator=generator)
    return Data(x=x, pos=pos), blob


@methods
def test_planted_blobs_are_found(method):
    data, blob = make_blobs([(0, 0), (9, 0), (0, 9), (9, 9)], [40, 33, 25, 14])
    out = AddVirtualCells(max_clusters=4, method=method)(data)
    # Clusters are numbered by decreasing size, as the blobs are.
    assert torch.equal(out.cluster, torch.cat([blob, torch.arange(4)]))
    for i in range(4):
        assert torch.allclose(out.x[112 + i], data.x[blob == i].mean(dim=0), atol=1e-6)
        assert torch.allclose(out.pos[112 + i], data.pos[blob == i].mean(dim=0))


@methods
@pytest.mark.parametrize("max_clusters", [1, 3, 8, 50])
def test_means_are_exact(make_slice, method, max_clusters):
    data = make_slice(300)
    out = AddVirtualCells(max_clusters, method=method)(data)
    num_clusters = out.num_nodes - 300
    cluster = out.cluster[:300]
    assert 1 <= num_clusters <= max_clusters
    assert cluster.unique().tolist() == list(range(num_clusters))
    assert (torch.bincount(cluster).diff() <= 0).all()
    assert out.cluster[300:].tolist() == list(range(num_clusters))
    for i in range(num_clusters):
        x, pos = data.x[cluster == i].mean(dim=0), data.pos[cluster == i].mean(dim=0)
        assert torch.allclose(out.x[300 + i], x, atol=1e-5)
        assert torch.allclose(out.pos[300 + i], pos, atol=1e-10)
    assert torch.equal(out.x[:300], data.x) and torch.equal(out.pos[:300], data.pos)


def test_node_attributes(make_slice, unchanged):
    data = SpatialRadiusGraph(1.5)(make_slice(60))
    data.node_type = torch.zeros(60, dtype=torch.uint8)
    data.cell_id = torch.arange(60).flip(0)
    data.domain = torch.arange(60) % 3
    data.codes = torch.ones(60, 2, dtype=torch.int32)
    data.inside = torch.ones(60, dtype=torch.bool)
    data.score = torch.arange(60.0)
    out = unchanged(AddVirtualCells(max_clusters=4), data)
    num_virtual = out.num_nodes - 60
    assert 1 < num_virtual <= 4
    assert out.node_type.tolist() == [0] * 60 + [2] * num_virtual
    assert out.node_type.dtype == torch.uint8
    assert out.cell_id.tolist() == [*range(59, -1, -1)] + [-1] * num_virtual
    assert out.domain.tolist() == data.domain.tolist() + [-1] * num_virtual
    assert out.codes[60:].tolist() == [[-1, -1]] * num_virtual
    assert out.codes.dtype == torch.int32
    assert out.inside.tolist() == [True] * 60 + [False] * num_virtual
    for i in range(num_virtual):
        mean = data.score[out.cluster[:60] == i].mean()
        assert float(out.score[60 + i]) == pytest.approx(float(mean), rel=1e-6)
    # ConnectVirtualCells makes the edges.
    assert torch.equal(out.edge_index, data.edge_index)
    assert torch.equal(out.edge_attr, data.edge_attr)


def test_cell_id_is_made_where_there_is_none(make_slice):
    out = AddVirtualCells(max_clusters=1)(make_slice(20))
    assert out.cell_id.tolist() == [*range(20), -1] and out.cell_id.dtype == torch.int64
    assert out.cluster.dtype == torch.int64


def test_stated_number_of_nodes_is_mended(make_slice):
    data = make_slice(20)
    data.num_nodes = 20
    out = AddVirtualCells(max_clusters=1)(data)
    assert out.num_nodes == 21 and out.x.size(0) == 21


@methods
def test_more_components_than_clusters(method):
    # Nothing joins the blobs, so Leiden alone cannot go below six; the last three are to join the
    # nearest of the three largest, which is the third.
    centers = [(0, 0), (10, 0), (20, 0), (30, 0), (200, 0), (206, 0)]
    data, blob = make_blobs(centers, [30, 29, 28, 27, 26, 25])
    transform = AddVirtualCells(3, alpha=1.0, num_neighbors=5, method=method)
    out = transform(data)
    num_cells = data.num_nodes
    assert out.num_nodes == num_cells + 3
    cluster = out.cluster[:num_cells]
    assert [cluster[blob == i].unique().numel() for i in range(6)] == [1] * 6
    group = [int(cluster[blob == i][0]) for i in range(6)]
    assert len({group[0], group[1], group[2]}) == 3
    assert group[2:] == [group[2]] * 4
    for i in range(3):
        assert torch.allclose(out.pos[num_cells + i], data.pos[cluster == i].mean(dim=0))
    # Numbered by decreasing size.
    assert torch.bincount(cluster).tolist() == [106, 30, 29]


@settings(max_examples=10)
@given(st.floats(0, 360), st.booleans(), st.tuples(*[st.floats(-1e3, 1e3)] * 2))
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_rigid_motions_change_nothing(make_slice, turn, alpha, degrees, flip, shift):
    data = make_slice(250)
    expected = AddVirtualCells(15, alpha=alpha)(data)
    moved = data.clone()
    moved.pos = turn(data.pos, degrees) * torch.tensor([-1.0 if flip else 1.0, 1.0])
    moved.pos = moved.pos + torch.tensor(shift)
    out = AddVirtualCells(15, alpha=alpha)(moved)
    assert torch.equal(out.cluster, expected.cluster)
    assert torch.allclose(out.x, expected.x, atol=1e-5)
    distance = torch.cdist(out.pos, out.pos, compute_mode="donot_use_mm_for_euclid_dist")
    before = torch.cdist(expected.pos, expected.pos, compute_mode="donot_use_mm_for_euclid_dist")
    assert torch.allclose(distance, before, atol=1e-8)


@pytest.mark.parametrize("alpha, num_neighbors", [(0.2, 10), (1.0, 10), (1.0, 15)])
def test_turning_a_lattice_changes_nothing(lattice, make_slice, turn, alpha, num_neighbors):
    data = Data(x=make_slice(400).x, pos=lattice(20, 20))
    transform = AddVirtualCells(20, alpha=alpha, num_neighbors=num_neighbors)
    expected = transform(data).cluster
    for degrees in (17.0, 60.0, 120.0):
        turned = Data(x=data.x, pos=turn(data.pos, degrees) + 5.0)
        assert torch.equal(transform(turned).cluster, expected)


@methods
def test_seed_decides_and_global_generators_are_left_alone(make_slice, method):
    data = make_slice(300)
    transform = AddVirtualCells(20, resolution=3.0, method=method, seed=1)
    expected = transform(data).cluster
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()
    assert torch.equal(transform(data).cluster, expected)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.array_equal(np.random.get_state()[1], states[2][1])
    random.seed(123)
    torch.manual_seed(123)
    assert torch.equal(transform(data).cluster, expected)
    others = [
        AddVirtualCells(20, resolution=3.0, method=method, seed=seed)(data).cluster
        for seed in (2, 3, 4)
    ]
    assert any(not torch.equal(other, expected) for other in others)


@pytest.mark.parametrize("num_components", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_joint_space(make_slice, alpha, num_components):
    data = make_slice(80, num_features=6)
    data.x[:, 0] *= 3
    points = AddVirtualCells(alpha=alpha, num_components=num_components).joint_space(
        data.x, data.pos
    )
    assert points.shape == (80, 2 + num_components)
    assert torch.allclose(points.mean(dim=0), torch.zeros(2 + num_components).double(), atol=1e-9)

    pos = data.pos - data.pos.mean(dim=0)
    assert torch.allclose(points[:, :2], alpha * pos / pos.norm(dim=1).max())
    x = data.x.double() - data.x.double().mean(dim=0)
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    components = (u * s)[:, :num_components]
    components = (1 - alpha) * components / components.norm(dim=1).max()
    # The sign of a component is arbitrary.
    assert torch.allclose(points[:, 2:].abs(), components.abs(), atol=1e-9)


def test_alpha_weighs_position_against_features():
    # Left and right, each with both of two kinds of cells.
    data, side = make_blobs([(0, 0), (30, 0)], [60, 60])
    kind = torch.arange(120) % 2
    data.x = 10.0 * kind.float().unsqueeze(1) + 0.1 * data.x
    by_position = AddVirtualCells(2, alpha=1.0)(data).cluster[:120]
    by_features = AddVirtualCells(2, alpha=0.0)(data).cluster[:120]
    assert (by_position == by_position[0]).equal(side == side[0])
    assert (by_features == by_features[0]).equal(kind == kind[0])


@methods
@pytest.mark.parametrize("num_cells", [1, 2, 3, 8])
def test_few_cells(make_slice, method, num_cells):
    data = make_slice(num_cells)
    out = AddVirtualCells(method=method)(data)
    num_virtual = out.num_nodes - num_cells
    assert 1 <= num_virtual <= num_cells
    assert out.node_type.tolist() == [0] * num_cells + [2] * num_virtual
    # Sizes times means give back the sum.
    size = torch.bincount(out.cluster[:num_cells]).double().unsqueeze(1)
    assert torch.allclose((size * out.pos[num_cells:]).sum(dim=0), data.pos.sum(dim=0))


@pytest.mark.parametrize("what", ["x", "pos", "both"])
def test_equal_cells(make_slice, what):
    data = make_slice(40)
    if what in ("x", "both"):
        data.x = torch.ones(40, 4)
    if what in ("pos", "both"):
        data.pos = torch.ones(40, 2)
    out = AddVirtualCells(max_clusters=5)(data)
    assert 1 <= out.num_nodes - 40 <= 5
    assert out.x.isfinite().all() and out.pos.isfinite().all()


def test_fewer_features_than_components(make_slice):
    out = AddVirtualCells(max_clusters=5, num_components=3)(make_slice(50, num_features=1))
    assert out.x.shape[1] == 1 and 1 <= out.num_nodes - 50 <= 5


def test_only_cells_are_accepted(make_slice):
    data = make_slice(30)
    for bad in (AddVirtualCells()(data), AddCLS()(data)):
        with pytest.raises(ValueError, match="already has virtual cells or CLS"):
            AddVirtualCells()(bad)


def test_empty_slice():
    with pytest.raises(ValueError, match="empty"):
        AddVirtualCells()(Data(x=torch.zeros(0, 3), pos=torch.zeros(0, 2)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="method 'louvain'; known: igraph, leidenalg"):
        AddVirtualCells(method="louvain")
    for alpha in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match=rf"'alpha' must .* between 0 and 1 \(got {alpha}\)"):
            AddVirtualCells(alpha=alpha)
    with pytest.raises(ValueError, match=r"'max_clusters' must be at least 1 \(got 0\)"):
        AddVirtualCells(max_clusters=0)


def test_repr():
    assert str(AddVirtualCells(max_clusters=9)) == (
        "AddVirtualCells(max_clusters=9, alpha=0.2, resolution=1.0)"
    )
