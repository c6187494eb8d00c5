import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from stofm_pyg.loader import RandomRegions, random_regions
from stofm_pyg.transforms import (
    ConnectVirtualCells,
    DropCells,
    JitterFeatures,
    MaskCells,
    ScalePositions,
    SpatialRadiusGraph,
)


def same(first, second):
    return set(first.keys()) == set(second.keys()) and all(
        torch.equal(first[key], second[key]) for key in first.keys()
    )


def make_numbered(make_slice, num_cells=600, max_clusters=3, cls=False, seed=0):
    """A slice whose only feature is the number of the node."""
    data = make_slice(num_cells, max_clusters, cls, seed=seed)
    data.x = torch.arange(float(data.num_nodes)).unsqueeze(1)
    return data


def rows_of(region):
    """The numbers of the cells of a region."""
    return region.x[region.node_type == 0].view(-1).long()


@pytest.fixture(scope="module")
def data(make_slice):
    return make_numbered(make_slice, cls=True)


def test_items_depend_on_seed_index_and_draw_alone(data):
    first, second = RandomRegions([data], 50, 100, seed=3), RandomRegions([data], 50, 100, seed=3)
    assert len(first) == 8
    expected = [first[i, draw] for i in range(8) for draw in range(3)]
    torch.manual_seed(77)
    for number in torch.randperm(24).tolist():
        assert same(second[number // 3, number % 3], expected[number])
    assert all(same(second[i], expected[3 * i]) for i in range(8))  # A number alone is draw 0.
    contents = {tuple(rows_of(region).tolist()) for region in expected}
    other = RandomRegions([data], 50, 100, seed=4)
    contents |= {tuple(rows_of(other[i]).tolist()) for i in range(8)}
    assert len(contents) == 24 + 8


def test_the_transform_is_seeded_as_well(data):
    transform = Compose([SpatialRadiusGraph(1.5), MaskCells(0.2), JitterFeatures(0.1)])
    regions = RandomRegions([data], 50, 60, transform)
    expected = [regions[i] for i in range(4)]
    torch.rand(9)
    assert all(same(regions[i], expected[i]) for i in (2, 0, 3, 1))
    assert not same(regions[0, 1], expected[0])
    assert {"mask", "target", "edge_index", "edge_attr"} <= set(expected[0].keys())


def test_dropped_cells_and_scaled_positions(data):
    transform = Compose([DropCells(0.3), ScalePositions(0.1)])
    regions = RandomRegions([data], 50, 50, transform, seed=5)
    plain = RandomRegions([data], 50, 50, seed=5)
    share, factors = [], []
    for index in [(i, draw) for i in range(len(plain)) for draw in range(8)]:
        region, whole = regions[index], plain[index]
        rows = rows_of(region)
        assert set(rows.tolist()) <= set(rows_of(whole).tolist())
        share.append(rows.numel() / 50)
        before = data.pos[region.x.view(-1).long()]
        factors.append(float(region.pos.norm() / before.norm()))
        assert torch.allclose(region.pos, factors[-1] * before)
        assert same(regions[index], region)
    # 4,800 draws: standard error 0.0066.
    assert sum(share) / len(share) == pytest.approx(0.7, abs=0.03)
    assert 0.9 <= min(factors) < 0.92 and 1.08 < max(factors) <= 1.1


def test_global_random_numbers_are_left_alone(data):
    def transform(region):
        torch.rand(3)
        return region

    regions = RandomRegions([data], 50, 60, transform)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(regions[i] for i in range(4))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


def test_global_random_numbers_are_left_alone_when_the_transform_fails(data):
    def transform(region):
        raise RuntimeError(f"{region.num_nodes} nodes")

    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="nodes"):
        RandomRegions([data], transform=transform)[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_sizes(data):
    regions = RandomRegions([data], 40, 60)
    sizes = [rows_of(regions[i, draw]).numel() for i in range(len(regions)) for draw in range(17)]
    assert min(sizes) >= 40 and max(sizes) <= 60
    # 204 draws out of 21 sizes: all but a few come.
    assert len(sizes) == 204 and len(set(sizes)) > 15
    assert {rows_of(region).numel() for region in RandomRegions([data], 50, 50)} == {50}


def test_expected_sizes(make_slice):
    slices = [make_numbered(make_slice, n, max_clusters=2, seed=n) for n in (600, 30)]
    others = [data.num_nodes - n for data, n in zip(slices, (600, 30), strict=True)]
    regions = RandomRegions(slices, 40, 60)
    assert regions.sizes.tolist() == [50 + others[0]] * 12 + [30 + others[1]]
    assert regions.sizes.dtype == regions.slice_of.dtype == torch.int64


def test_regions_are_contiguous(data):
    cells = data.pos[:600]
    regions = RandomRegions([data], 50, 80)
    for index in [(i, draw) for i in range(len(regions)) for draw in range(3)]:
        region = regions[index]
        rows = rows_of(region)
        assert torch.equal(region.pos[: len(rows)], cells[rows])
        # Around the centre, one of the cells, there are the region's cells and no others.
        distance = torch.cdist(cells[rows], cells)
        farthest = distance[:, rows].amax(dim=1)
        outside = (distance <= farthest.unsqueeze(1) + 1e-9).sum(dim=1) - len(rows)
        assert outside.min() == 0


def test_centers_are_all_over_the_slice(data):
    regions, counts = RandomRegions([data], 30, 30), torch.zeros(600)
    assert len(regions) == 20
    for draw in range(15):
        for i in range(20):
            counts[rows_of(regions[i, draw])] += 1
    # 15 times each on average.
    assert counts.min() > 0 and counts.mean() == 15


@settings(max_examples=20)
@given(st.lists(st.integers(1, 120), min_size=1, max_size=4), st.integers(1, 40), st.integers(0, 9))
def test_a_pass_takes_about_as_many_cells_as_there_are_from_all_stretches(sizes, size, seed):
    # Cells in a row, far from one another: those of a region follow one another.
    slices = [
        Data(x=torch.zeros(n, 1), pos=torch.arange(n).float()[:, None].expand(n, 2)) for n in sizes
    ]
    regions = RandomRegions(slices, size, size, seed=seed)
    assert [int((regions.slice_of == k).sum()) for k in range(len(sizes))] == [
        max(1, round(n / size)) for n in sizes
    ]
    assert regions.slice_of.tolist() == sorted(regions.slice_of.tolist())
    for k, n in enumerate(sizes):
        own = (regions.slice_of == k).nonzero().view(-1).tolist()
        for place, index in enumerate(own):
            pos = regions[index].pos[:, 0]
            assert pos.numel() == min(size, n) and (pos.diff() == 1).all()
            # The k-th region touches the k-th stretch of the slice.
            low, high = place * n // len(own), (place + 1) * n // len(own)
            assert pos[0] < high and pos[-1] >= low


def test_cells_keep_their_order_and_hubs_come_last(data):
    for region in RandomRegions([data], 50, 80):
        rows = region.x.view(-1).long()
        assert (rows.diff() > 0).all()
        assert torch.equal(region.node_type, data.node_type[rows])
        assert region.node_type.dtype == torch.uint8
        assert rows[region.node_type != 0].tolist() == list(range(600, data.num_nodes))


def test_virtual_cells_in_the_middle(make_slice):
    data = make_numbered(make_slice, 100, max_clusters=0)
    data.node_type[[0, 7, 50]] = 2
    for region in RandomRegions([data], 20, 30):
        assert region.x[region.node_type == 2].view(-1).tolist() == [0.0, 7.0, 50.0]
        cells = rows_of(region).tolist()
        assert 20 <= len(cells) <= 30 and not {0, 7, 50} & set(cells)


def test_all_that_belongs_to_a_node_comes_along(data):
    data = data.clone()
    data.classes, data.domain = {"domain": ["a"]}, torch.arange(data.num_nodes) % 5
    for region in RandomRegions([data], 20, 30):
        assert set(region.keys()) == {"x", "pos", "node_type", "cell_id", "cluster", "domain"}
        rows = region.x.view(-1).long()
        assert torch.equal(region.domain, rows % 5) and torch.equal(region.cell_id, data.cell_id[rows])
        assert torch.equal(region.cluster, data.cluster[rows])


def test_a_slice_smaller_than_a_region(make_slice):
    data = make_numbered(make_slice, 20)
    regions = RandomRegions([data])
    assert len(regions) == 1
    for draw in range(3):
        assert regions[0, draw].x.view(-1).tolist() == data.x.view(-1).tolist()


def test_one_cell(make_slice):
    (region,) = RandomRegions([make_numbered(make_slice, 1, max_clusters=0)])
    assert region.x.tolist() == [[0.0]]


def test_slices_have_regions_by_their_number_of_cells(make_slice):
    slices = [make_numbered(make_slice, n, seed=n) for n in (30, 90, 180, 3)]
    for i, data in enumerate(slices):
        data.x = torch.full((data.num_nodes, 1), float(i))
    regions = RandomRegions(slices, 5, 5)
    assert len(regions) == 6 + 18 + 36 + 1
    assert regions.slice_of.bincount().tolist() == [6, 18, 36, 1]
    for number, region in zip(regions.slice_of.tolist(), regions, strict=True):
        assert region.x.unique().tolist() == [number]


def test_few_trees_are_kept(make_slice, monkeypatch):
    monkeypatch.setattr(random_regions, "MAX_TREES", 2)
    slices = [make_numbered(make_slice, 40, seed=n) for n in range(5)]
    regions = RandomRegions(slices, 5, 9)
    want = [regions[i] for i in range(len(regions))]
    assert len(regions._trees) == 2
    assert all(same(regions[i], want[i]) for i in reversed(range(len(regions))))


def test_without_node_types(make_slice):
    data = make_slice(100)
    bare = Data(x=data.x, pos=data.pos, cell_id=data.cell_id)
    first, second = RandomRegions([bare], 20, 30), RandomRegions([data], 20, 30)
    assert len(first) == 4
    assert all(same(first[i], second[i]) for i in range(4))
    assert "node_type" not in bare


class Source:
    """A slice that is elsewhere."""

    def __init__(self, data):
        self.data, self.num_cells, self.num_others = data, data.num_nodes, 0

    def positions(self):
        return self.data.pos.numpy()

    def take(self, rows):
        return Data(x=self.data.x[rows], pos=self.data.pos[rows])


def test_a_slice_may_be_anywhere(make_slice):
    data = make_slice(100)
    first = RandomRegions([Source(data)], 20, 30, seed=1)
    second = RandomRegions([data], 20, 30, seed=1)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.x, other.x) and torch.equal(one.pos, other.pos)


def test_the_graph_is_the_transforms(data):
    plain = RandomRegions([data], 50, 80)
    transform = Compose([SpatialRadiusGraph(1.5), ConnectVirtualCells()])
    regions = RandomRegions([data], 50, 80, transform)
    for i in range(5):
        assert {"edge_index", "edge_attr"}.isdisjoint(plain[i].keys())
        assert same(regions[i], transform(plain[i]))


def test_slices_are_not_changed(data):
    def transform(region):
        region.x += 1
        region.pos += 1
        region.node_type += 1
        return region

    before = data.clone()
    list(RandomRegions([data], 600, 600, transform))
    assert same(data, before)


def test_loader(data):
    regions = RandomRegions([data], 20, 30, SpatialRadiusGraph(1.5))
    sizes = []
    for batch in DataLoader(regions, batch_size=4):
        sizes += batch.ptr.diff().tolist()
        assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
    assert sizes == [regions[i].num_nodes for i in range(24)]


def test_in_workers_and_pickled(data):
    regions = RandomRegions([data], 50, 80, JitterFeatures(0.1))
    want = [regions[i] for i in range(8)]
    copy = pickle.loads(pickle.dumps(regions))
    assert all(same(copy[i], want[i]) for i in range(8))
    loader = torch.utils.data.DataLoader(regions, sampler=range(8), batch_size=None, num_workers=2)
    assert all(same(one, other) for one, other in zip(loader, want, strict=True))


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 99), st.integers(0, 10**9))
def test_any_seed_and_draw(data, seed, index, draw):
    regions = RandomRegions([data], 3, 9, seed=seed)
    assert len(regions) == 100 and same(regions[index, draw], regions[index, draw])


@pytest.mark.parametrize("index", [-1, 12, 100, (12, 0)])
def test_index(data, index):
    regions = RandomRegions([data], 40, 60)
    assert len(regions) == 12 and len(list(regions)) == 12
    number = index[0] if isinstance(index, tuple) else index
    with pytest.raises(IndexError, match=f"Region {number} of 12"):
        regions[index]


@pytest.mark.parametrize("workers", [0, 1])
def test_each_pass_of_a_plain_loader_has_other_regions(data, workers):
    regions = RandomRegions([data, data], 40, 60, seed=3)
    sampler = regions.sampler()
    loader = torch.utils.data.DataLoader(regions, batch_size=None, sampler=sampler, num_workers=workers)
    passes = [list(loader) for _ in range(2)]
    again = regions.sampler()
    orders = [list(again), list(again)]
    assert len(sampler) == 24
    for draw, (order, found) in enumerate(zip(orders, passes, strict=True)):
        assert sorted(order) == [(index, draw) for index in range(24)]
        assert all(same(regions[item], region) for item, region in zip(order, found, strict=True))
    assert [index for index, _ in orders[0]] != [index for index, _ in orders[1]]
    assert list(regions.sampler(shuffle=False)) == [(index, 0) for index in range(24)]
    assert not same(regions[5, 0], regions[5, 1])


def test_bad_arguments(data):
    for sizes in ((0, 10), (20, 10)):
        with pytest.raises(ValueError, match=rf"positive \(got {sizes[0]}\D+{sizes[1]}\)"):
            RandomRegions([data], *sizes)
    with pytest.raises(ValueError, match="No slices to take regions from"):
        RandomRegions([])


def test_repr(data):
    assert str(RandomRegions([data, data], 40, 60)) == "RandomRegions(24, slices=2)"


def test_what_are_no_slices(data):
    with pytest.raises(TypeError, match="Expected several slices, got one; pass a list"):
        RandomRegions(data)
    with pytest.raises(ValueError, match="Slice 1 is empty: it has no cell"):
        RandomRegions([data, Data(x=torch.empty(0, 4), pos=torch.empty(0, 2))])
    with pytest.raises(ValueError, match="The slice has no positions"):
        RandomRegions([Data(x=torch.ones(5, 4))])
