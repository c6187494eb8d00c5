import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from stofm_pyg.loader import RandomRegions
from stofm_pyg.transforms import ConnectVirtualCells, JitterFeatures, MaskCells, SpatialRadiusGraph


def same(first, second):
    return set(first.keys()) == set(second.keys()) and all(
        torch.equal(first[key], second[key]) for key in first.keys()
    )


def make_numbered(make_slice, num_cells=600, max_clusters=3, cls=False, seed=0):
    """A slice whose only feature is the number of the node."""
    data = make_slice(num_cells, max_clusters, cls, seed=seed)
    data.x = torch.arange(float(data.num_nodes)).unsqueeze(1)
    return data


@pytest.fixture(scope="module")
def data(make_slice):
    return make_numbered(make_slice, cls=True)


def test_items_depend_on_seed_and_index_alone(data):
    first = RandomRegions([data], 20, 50, 100, seed=3)
    second = RandomRegions([data], 5, 50, 100, seed=3)
    expected = [first[i] for i in range(5)]
    torch.manual_seed(77)
    for i in (4, 0, 3, 1, 1, 2):
        assert same(second[i], expected[i])
    assert not same(expected[0], expected[1])
    other = RandomRegions([data], 20, 50, 100, seed=4)
    assert not any(same(other[i], first[i]) for i in range(20))


def test_the_transform_is_seeded_as_well(data):
    transform = Compose([SpatialRadiusGraph(1.5), MaskCells(0.2), JitterFeatures(0.1)])
    regions = RandomRegions([data], 4, 50, 60, transform=transform)
    expected = [regions[i] for i in range(4)]
    torch.rand(9)
    assert all(same(regions[i], expected[i]) for i in (2, 0, 3, 1))
    assert {"mask", "target", "edge_index", "edge_attr"} <= set(expected[0].keys())


def test_global_random_numbers_are_left_alone(data):
    def transform(region):
        torch.rand(3)
        return region

    regions = RandomRegions([data], 4, 50, 60, transform=transform)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(regions[i] for i in range(4))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


def test_global_random_numbers_are_left_alone_when_the_transform_fails(data):
    def transform(region):
        raise RuntimeError(f"{region.num_nodes} nodes")

    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="nodes"):
        RandomRegions([data], 1, transform=transform)[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_sizes(data):
    regions = RandomRegions([data], 200, 40, 60, drop_rate=0.0)
    sizes = [int((region.node_type == 0).sum()) for region in regions]
    assert min(sizes) >= 40 and max(sizes) <= 60
    # 200 draws out of 21 sizes: all but a few come.
    assert len(set(sizes)) > 15
    assert {int((r.node_type == 0).sum()) for r in RandomRegions([data], 5, 50, 50, 0.0)} == {50}


def test_drop_rate(data):
    regions = RandomRegions([data], 100, 50, 50, drop_rate=0.3)
    sizes = [int((region.node_type == 0).sum()) for region in regions]
    # 5,000 draws (but for one cell of each region, which stays): standard error 0.0065.
    assert sum(sizes) / 5000 == pytest.approx(0.7 * 49 / 50 + 1 / 50, abs=0.025)
    assert min(sizes) >= 20 and max(sizes) <= 50
    sizes = [int((r.node_type == 0).sum()) for r in RandomRegions([data], 30, 1, 2, 0.99)]
    assert min(sizes) == 1


@pytest.mark.parametrize("drop_rate", [0.0, 0.3])
def test_regions_are_contiguous(data, drop_rate):
    cells = data.pos[:600]
    for region in RandomRegions([data], 30, 50, 80, drop_rate, scale=0.0):
        rows = region.x[region.node_type == 0].view(-1).long()
        assert torch.equal(region.pos[: len(rows)], cells[rows])
        # Around the centre, one of the cells, there are the region's cells and no others.
        distance = torch.cdist(cells[rows], cells)
        farthest = distance[:, rows].amax(dim=1)
        outside = (distance <= farthest.unsqueeze(1) + 1e-9).sum(dim=1) - len(rows)
        assert outside.min() <= (0 if drop_rate == 0 else 80 - len(rows))


def test_centers_are_all_over_the_slice(data):
    counts = torch.zeros(600)
    for region in RandomRegions([data], 300, 30, 30, drop_rate=0.0):
        counts[region.x[region.node_type == 0].view(-1).long()] += 1
    # 15 times each on average.
    assert counts.min() > 0 and counts.mean() == 15


def test_cells_keep_their_order_and_hubs_come_last(data):
    for region in RandomRegions([data], 10, 50, 80):
        rows = region.x.view(-1).long()
        assert (rows.diff() > 0).all()
        assert torch.equal(region.node_type, data.node_type[rows])
        assert region.node_type.dtype == torch.uint8
        assert rows[region.node_type != 0].tolist() == list(range(600, data.num_nodes))


def test_virtual_cells_in_the_middle(make_slice):
    data = make_numbered(make_slice, 100, max_clusters=0)
    data.node_type[[0, 7, 50]] = 2
    for region in RandomRegions([data], 10, 20, 30, drop_rate=0.0):
        assert region.x[region.node_type == 2].view(-1).tolist() == [0.0, 7.0, 50.0]
        cells = region.x[region.node_type == 0].view(-1).tolist()
        assert 20 <= len(cells) <= 30 and not {0.0, 7.0, 50.0} & set(cells)


@pytest.mark.parametrize("scale", [0.0, 0.1, 0.5])
def test_scale(data, scale):
    factors = []
    for region in RandomRegions([data], 100, 20, 30, scale=scale):
        before = data.pos[region.x.view(-1).long()]
        factor = float(region.pos.norm() / before.norm())
        assert torch.allclose(region.pos, factor * before)
        factors.append(factor)
    assert 1 - scale - 1e-6 <= min(factors) and max(factors) <= 1 + scale + 1e-6
    assert max(factors) - min(factors) > 1.8 * scale - 1e-9


def test_a_slice_smaller_than_a_region(make_slice):
    data = make_numbered(make_slice, 20)
    for region in RandomRegions([data], 5, drop_rate=0.0):
        assert region.x.view(-1).tolist() == data.x.view(-1).tolist()


def test_one_cell(make_slice):
    region = RandomRegions([make_numbered(make_slice, 1, max_clusters=0)], 1)[0]
    assert region.x.tolist() == [[0.0]]


def test_slices_are_chosen_by_their_number_of_cells(make_slice):
    slices = [make_numbered(make_slice, n, seed=n) for n in (30, 90, 180)]
    for i, data in enumerate(slices):
        data.x = torch.full((data.num_nodes, 1), float(i))
    regions = RandomRegions(slices, 600, 5, 5)
    counts = torch.zeros(3)
    for region in regions:
        assert region.x.unique().numel() == 1
        counts[int(region.x[0])] += 1
    # Standard deviations are about 8, 11 and 12.
    assert torch.allclose(counts, torch.tensor([60.0, 180.0, 360.0]), atol=50.0)


def test_without_node_types(make_slice):
    data = make_slice(100)
    bare = Data(x=data.x, pos=data.pos)
    first, second = RandomRegions([bare], 3, 20, 30), RandomRegions([data], 3, 20, 30)
    assert all(same(first[i], second[i]) for i in range(3))
    assert "node_type" not in bare


def test_the_graph_is_the_transforms(data):
    plain = RandomRegions([data], 5, 50, 80)
    transform = Compose([SpatialRadiusGraph(1.5), ConnectVirtualCells()])
    regions = RandomRegions([data], 5, 50, 80, transform=transform)
    for i in range(5):
        assert set(plain[i].keys()) == {"x", "pos", "node_type"}
        assert same(regions[i], transform(plain[i]))


def test_slices_are_not_changed(data):
    def transform(region):
        region.x += 1
        region.pos += 1
        region.node_type += 1
        return region

    before = data.clone()
    regions = RandomRegions([data], 5, 600, 600, drop_rate=0.0, scale=0.0, transform=transform)
    list(regions[i] for i in range(5))
    assert same(data, before)


def test_loader(data):
    regions = RandomRegions([data], 10, 20, 30, transform=SpatialRadiusGraph(1.5))
    sizes = []
    for batch in DataLoader(regions, batch_size=4):
        sizes += batch.ptr.diff().tolist()
        assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
    assert sizes == [regions[i].num_nodes for i in range(10)]


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(0, 10**6))
def test_any_seed_and_index(data, seed, idx):
    regions = RandomRegions([data], 10**6 + 1, 3, 9, seed=seed)
    assert same(regions[idx], regions[idx])


@pytest.mark.parametrize("idx", [-1, 5, 100])
def test_index(data, idx):
    regions = RandomRegions([data], 5)
    assert len(regions) == 5 and len(list(regions)) == 5
    with pytest.raises(IndexError, match=f"Region {idx} of 5"):
        regions[idx]


def test_bad_arguments(data):
    for sizes in ((0, 10), (20, 10)):
        with pytest.raises(ValueError, match=rf"positive \(got {sizes[0]}\D+{sizes[1]}\)"):
            RandomRegions([data], 5, *sizes)
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=rf"'drop_rate' must lie in .* \(got {rate}\)"):
            RandomRegions([data], 5, drop_rate=rate)
        with pytest.raises(ValueError, match=rf"'scale' must lie in .* \(got {rate}\)"):
            RandomRegions([data], 5, scale=rate)
    with pytest.raises(ValueError, match="No slices to take regions from"):
        RandomRegions([], 5)


def test_repr(data):
    assert str(RandomRegions([data, data], 7)) == "RandomRegions(7, slices=2)"
