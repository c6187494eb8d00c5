import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.loader import ClusterData, ClusterLoader

from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.loader import spatial_cluster_data as module
from stofm_pyg.transforms import SpatialRadiusGraph

both = pytest.mark.parametrize("method", ["metis", "grid"])


def cell_ids(part):
    return part.cell_id[part.node_type == 0]


def part_of_cells(parts):
    """Which subpatch each cell is in; fails unless each is in exactly one."""
    ids = [cell_ids(part) for part in parts]
    where = torch.cat(ids)
    out = torch.full((where.numel(),), -1)
    for i, members in enumerate(ids):
        out[members] = i
    assert torch.equal(where.sort().values, torch.arange(where.numel()))
    return out


@both
@settings(max_examples=15)
@given(
    st.integers(1, 150),
    st.integers(1, 170),
    st.sampled_from([0, 1, 4]),
    st.booleans(),
    st.sampled_from([0.3, 1.0, 2.5]),
)
def test_every_cell_is_in_one_and_hubs_are_in_all(
    make_slice, method, num_cells, cells_per_part, max_clusters, cls, radius
):
    data = make_slice(num_cells, max_clusters, cls, radius, seed=num_cells)
    parts = SpatialClusterData(data, cells_per_part, method=method)
    assert isinstance(parts, ClusterData)
    part_of_cells(parts)
    hubs = data.node_type != 0
    for i, part in enumerate(parts):
        num_part = int((part.node_type == 0).sum())
        assert num_part > 0 and part.num_nodes == num_part + int(hubs.sum())
        assert part.num_nodes == int(parts.sizes[i])
        for key in ("x", "pos", "node_type", "cell_id"):
            assert part[key].dtype == data[key].dtype
            assert torch.equal(part[key][:num_part], data[key][cell_ids(part)])
            assert torch.equal(part[key][num_part:], data[key][hubs])


@both
@pytest.mark.parametrize("sparse_format", ["csr", "csc"])
def test_edges_are_the_induced_ones_and_ties(make_slice, method, sparse_format):
    data = make_slice(300, max_clusters=3, cls=True)
    parts = SpatialClusterData(data, 70, method=method, sparse_format=sparse_format)
    assert len(parts) > 2
    pairs = list(map(tuple, data.edge_index.t().tolist()))
    length = dict(zip(pairs, data.edge_attr.view(-1).tolist(), strict=True))
    num_inside = 0
    for part in parts:
        members = cell_ids(part).tolist()
        is_member = set(members)
        expected = {
            pair: value
            for pair, value in length.items()
            if pair[0] in is_member and pair[1] in is_member
        }
        num_inside += len(expected)
        # Hubs get numbers of their own behind those of the cells.
        names = members + [1000 + i for i in range(part.num_nodes - len(members))]
        place = dict(zip(names, part.pos, strict=True))
        hubs = names[len(members) :]
        for i, hub in enumerate(hubs):
            for other in members + hubs[:i]:
                is_cls = 1000 + len(hubs) - 1 in (hub, other)
                distance = 0.0 if is_cls else float((place[hub] - place[other]).norm())
                expected |= {(hub, other): distance, (other, hub): distance}
        found = [(names[i], names[j]) for i, j in part.edge_index.t().tolist()]
        assert len(found) == len(set(found)) == len(expected)
        values = dict(zip(found, part.edge_attr.view(-1).tolist(), strict=True))
        assert values == pytest.approx(expected, rel=1e-6)
    # Some edges are cut, most are not.
    assert 0.5 * len(length) < num_inside < len(length)


def test_without_virtual_cells_and_node_types(make_slice):
    data = make_slice(100)
    expected = SpatialClusterData(data, num_parts=4)
    bare = Data(x=data.x, pos=data.pos, edge_index=data.edge_index, edge_attr=data.edge_attr)
    for part, other in zip(SpatialClusterData(bare, num_parts=4), expected, strict=True):
        assert torch.equal(part.x, other.x) and torch.equal(part.edge_index, other.edge_index)
        assert torch.equal(part.edge_attr, other.edge_attr)
        assert part.node_type.tolist() == [0] * part.num_nodes
    assert "node_type" not in bare


@pytest.mark.parametrize("size", [1, 64, 1000])
def test_the_partition_is_that_of_pyg(monkeypatch, make_slice, size):
    monkeypatch.setattr(module, "NODES_PER_BLOCK", size)
    monkeypatch.setattr(module, "EDGES_PER_BLOCK", size)
    data = make_slice(300, max_clusters=3)
    cells, edge_index = SpatialClusterData(data, 40), data.edge_index
    part = torch.randint(cells.num_parts, (300,), generator=torch.Generator().manual_seed(0))
    want, found = ClusterData._partition(cells, edge_index, part), cells._partition(edge_index, part)
    for key in ("indptr", "index", "partptr", "node_perm", "edge_perm"):
        assert torch.equal(getattr(found, key), getattr(want, key)), key


def test_metis_sizes(make_slice):
    data = make_slice(2000, max_clusters=5)
    num_virtual = int((data.node_type == 2).sum())
    parts = SpatialClusterData(data, cells_per_part=200)
    assert len(parts) == parts.num_parts == 10
    sizes = parts.sizes - num_virtual
    assert sizes.min() >= 180 and sizes.max() <= 220 and sizes.sum() == 2000
    assert parts.sizes.tolist() == [part.num_nodes for part in parts]


@pytest.mark.parametrize(
    "num_cells, cells_per_part, expected",
    [(149, 100, 1), (151, 100, 2), (400, 100, 4), (30, 99, 1)],
)
def test_number_of_metis_parts(make_slice, num_cells, cells_per_part, expected):
    assert len(SpatialClusterData(make_slice(num_cells), cells_per_part)) == expected


@both
def test_deterministic(make_slice, method):
    data = make_slice(500, max_clusters=3)
    state = torch.get_rng_state()
    first = SpatialClusterData(data, 60, method=method)
    torch.manual_seed(99)
    second = SpatialClusterData(data, 60, method=method)
    torch.set_rng_state(state)
    assert torch.equal(part_of_cells(first), part_of_cells(second))
    assert torch.equal(first[1].edge_index, second[1].edge_index)


def test_seed(make_slice):
    data = make_slice(500)
    parts = [part_of_cells(SpatialClusterData(data, 60, seed=seed)) for seed in range(4)]
    assert any(not torch.equal(parts[0], other) for other in parts[1:])


@settings(max_examples=10)
@given(st.floats(0, 360), st.booleans(), st.tuples(*[st.floats(-1e3, 1e3)] * 2))
@pytest.mark.parametrize("radius", [0.7, 2.0])
def test_metis_parts_do_not_depend_on_how_the_slice_is_turned(
    make_slice, turn, radius, degrees, flip, shift
):
    data = make_slice(300, radius=radius)
    moved = data.clone()
    moved.pos = turn(data.pos, degrees) * torch.tensor([-1.0 if flip else 1.0, 1.0])
    moved.pos = moved.pos + torch.tensor(shift)
    moved = SpatialRadiusGraph(radius)(moved)
    expected = part_of_cells(SpatialClusterData(data, 50))
    assert torch.equal(part_of_cells(SpatialClusterData(moved, 50)), expected)


def test_grid_parts_depend_on_it(make_slice, turn):
    data = make_slice(300)
    moved = data.clone()
    moved.pos = turn(data.pos, 30.0)
    parts = [part_of_cells(SpatialClusterData(d, 50, method="grid")) for d in (data, moved)]
    assert not torch.equal(parts[0], parts[1])


@both
def test_slice_smaller_than_a_subpatch(make_slice, method):
    data = make_slice(40, max_clusters=2)
    parts = SpatialClusterData(data, cells_per_part=1000, method=method)
    assert len(parts) == 1
    part = parts[0]
    assert part.cell_id.sort().values.tolist() == data.cell_id.sort().values.tolist()
    edges = cell_ids(part)[part.edge_index[:, : data.num_edges]].t().tolist()
    assert sorted(edges) == data.edge_index.t().tolist()


@both
def test_one_cell(make_slice, method):
    parts = SpatialClusterData(make_slice(1, max_clusters=1), method=method)
    assert len(parts) == 1 and parts[0].node_type.tolist() == [0, 2]
    assert parts[0].edge_index.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("num_parts", [5, 10, 1000])
def test_more_parts_than_cells(make_slice, num_parts):
    parts = SpatialClusterData(make_slice(5, radius=9.0), num_parts=num_parts)
    assert 1 <= len(parts) <= 5
    part_of_cells(parts)
    assert all(part.num_nodes >= 1 for part in parts)


def test_isolated_cells(make_slice):
    data = make_slice(400, radius=0.6)
    assert (torch.bincount(data.edge_index[0], minlength=400) == 0).sum() > 50
    where = part_of_cells(SpatialClusterData(data, 100))
    assert torch.bincount(where).tolist() == pytest.approx([100] * 4, abs=15)
    nearest = torch.cdist(data.pos, data.pos).fill_diagonal_(math.inf).argmin(dim=1)
    assert (where == where[nearest]).float().mean() > 0.85


@both
def test_coincident_cells(make_slice, method):
    pos = make_slice(50).pos.repeat(4, 1)
    data = Data(x=torch.zeros(200, 1), pos=pos, cell_id=torch.arange(200))
    parts = SpatialClusterData(SpatialRadiusGraph(1.5)(data), 40, method=method)
    part_of_cells(parts)
    assert len(parts) > 3


def test_index(make_slice):
    parts = SpatialClusterData(make_slice(200, max_clusters=2), num_parts=4)
    for i in range(-4, 0):
        assert torch.equal(parts[i].cell_id, parts[4 + i].cell_id)
    for i in (4, -5):
        with pytest.raises(IndexError, match=f"Subpatch {i} of 4"):
            parts[i]
    assert len(list(parts)) == 4


def test_reading_a_subpatch_twice(make_slice):
    parts = SpatialClusterData(make_slice(200, max_clusters=2), num_parts=3)
    first, second = parts[1], parts[1]
    assert torch.equal(first.edge_index, second.edge_index)
    assert torch.equal(first.x, second.x)


@both
def test_the_slice_is_not_changed(make_slice, method):
    data = make_slice(120, max_clusters=3)
    before = data.clone()
    list(SpatialClusterData(data, 30, method=method))
    assert set(data.keys()) == set(before.keys())
    for key in data.keys():
        assert torch.equal(data[key], before[key])


def test_what_belongs_to_the_slice_is_in_every_subpatch_as_it_is(make_slice):
    data = make_slice(100, max_clusters=3)
    num_virtual = int((data.node_type == 2).sum())
    data.name, data.classes = "left", {"domain": ["a", "b"]}
    # As long as there are virtual cells, which are no nodes of its own.
    data.age = torch.arange(float(num_virtual))
    data.genes = [f"gene{i}" for i in range(num_virtual)]
    for part in SpatialClusterData(data, num_parts=3):
        assert (part.name, part.classes) == ("left", {"domain": ["a", "b"]})
        assert torch.equal(part.age, data.age)
        assert part.genes == data.genes


def test_labels_of_nodes_are_split(make_slice):
    data = make_slice(100, max_clusters=3)
    data.domain = torch.where(data.node_type == 0, torch.arange(data.num_nodes), -1)
    for part in SpatialClusterData(data, num_parts=3):
        assert torch.equal(part.domain, part.cell_id)


def test_stated_number_of_nodes(make_slice):
    data = make_slice(100, max_clusters=3)
    data.num_nodes = data.x.size(0)
    for part in SpatialClusterData(data, num_parts=3):
        assert part.num_nodes == part.x.size(0)
        assert part.validate()


def test_cluster_loader_of_pyg(make_slice):
    data = make_slice(300)
    parts = SpatialClusterData(data, num_parts=4)
    where = part_of_cells(parts)
    for i, batch in enumerate(ClusterLoader(parts, batch_size=2)):
        members = set(((where == 2 * i) | (where == 2 * i + 1)).nonzero().view(-1).tolist())
        assert set(batch.cell_id.tolist()) == members
        inside = [a in members and b in members for a, b in data.edge_index.t().tolist()]
        assert batch.num_edges == sum(inside)


def test_a_saved_partition_is_that_of_its_slice(make_slice, tmp_path):
    # PyG's file is named by the number of parts alone; to refuse is better than to read another's.
    for data in (make_slice(200, max_clusters=2), make_slice(300, seed=1)):
        expected = part_of_cells(SpatialClusterData(data, num_parts=4))
        for _ in range(2):
            try:
                parts = SpatialClusterData(data, num_parts=4, save_dir=str(tmp_path))
            except ValueError as error:
                assert "save_dir" in str(error)
            else:
                assert torch.equal(part_of_cells(parts), expected)


def test_edges_between_subpatches_are_never_kept(make_slice):
    data = make_slice(200, max_clusters=2)
    with pytest.raises(ValueError, match="keep_inter_cluster_edges"):
        SpatialClusterData(data, num_parts=4, keep_inter_cluster_edges=True)


def test_bad_arguments(make_slice):
    data = make_slice(20)
    with pytest.raises(ValueError, match="Unknown method 'kmeans'; known: metis, grid"):
        SpatialClusterData(data, method="kmeans")
    with pytest.raises(ValueError, match=r"'cells_per_part' must be at least 1 \(got 0\)"):
        SpatialClusterData(data, cells_per_part=0)


@pytest.mark.parametrize("num_parts", [0, -2])
def test_bad_number_of_parts(make_slice, num_parts):
    with pytest.raises(ValueError, match=rf"'num_parts' must be .* \(got {num_parts}\)"):
        SpatialClusterData(make_slice(20), num_parts=num_parts)


def test_slices_that_have_nothing_to_partition(make_slice):
    with pytest.raises(ValueError, match="no graph; apply 'SpatialRadiusGraph' first"):
        SpatialClusterData(Data(x=torch.zeros(5, 1), pos=torch.rand(5, 2)))
    empty = Data(
        x=torch.zeros(0, 1), pos=torch.zeros(0, 2), edge_index=torch.zeros(2, 0, dtype=torch.long)
    )
    with pytest.raises(ValueError, match="The slice is empty"):
        SpatialClusterData(empty)
    hubs = make_slice(10, max_clusters=2)
    with pytest.raises(ValueError, match="The slice is empty"):
        SpatialClusterData(hubs.subgraph(hubs.node_type != 0))


def test_repr(make_slice):
    data = make_slice(100)
    assert str(SpatialClusterData(data, num_parts=4)) == "SpatialClusterData(4, method='metis')"
    parts = SpatialClusterData(data, 30, method="grid")
    assert str(parts) == f"SpatialClusterData({len(parts)}, method='grid')"


def test_another_way_to_tie_the_nodes_of_a_subpatch(make_slice):
    data = make_slice(300, max_clusters=3, cls=True)
    seen = []

    def build(part):
        seen.append(part.num_nodes)
        part.edge_attr = torch.full((part.num_edges, 1), 7.0)
        return part

    plain = SpatialClusterData(data, 70)
    parts = SpatialClusterData(data, 70, transform=build)
    assert len(parts) == len(plain) and seen == []
    for i, part in enumerate(parts):
        assert torch.equal(part.cell_id, plain[i].cell_id)
        assert part.num_edges < plain[i].num_edges and (part.edge_attr == 7).all()
    assert seen == parts.sizes.tolist()


def test_what_is_no_slice(make_slice):
    data = make_slice()
    for other in ([data], Batch.from_data_list([data, data])):
        with pytest.raises(TypeError, match=f"Expected one slice, got {type(other).__name__}"):
            SpatialClusterData(other)
    for method in SpatialClusterData.methods:
        data.pos = None
        with pytest.raises(ValueError, match="The slice has no positions; set 'data.pos'"):
            SpatialClusterData(data, 50, method=method)
