import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from stofm_pyg.loader._partition import grid_partition, metis_partition
from stofm_pyg.transforms import SpatialRadiusGraph

no_edges = torch.empty(2, 0, dtype=torch.int64)


def radius_graph(pos, radius):
    return SpatialRadiusGraph(radius)(Data(pos=pos)).edge_index


def lattice(rows, columns):
    return torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).double()


def official_grid(pos, num):
    """The cells of each subpatch, as the official code finds them."""
    pos = pos.double().numpy()
    if len(pos) <= num:
        return [list(range(len(pos)))]
    (x_min, y_min), (x_max, y_max) = pos.min(axis=0), pos.max(axis=0)
    x_len, y_len = x_max - x_min, y_max - y_min
    split_num = len(pos) // num + 1
    side = math.sqrt(x_len * y_len / split_num)
    patches = []
    for i in range(int(x_len / side) + 1):
        for j in range(int(y_len // side) + 1):
            in_x = (pos[:, 0] >= x_min + i * side) & (pos[:, 0] < x_min + (i + 1) * side)
            in_y = (pos[:, 1] >= y_min + j * side) & (pos[:, 1] < y_min + (j + 1) * side)
            members = np.where(in_x & in_y)[0]
            if len(members) == 0:
                continue
            if len(members) >= 2 * num:
                chunks = np.array_split(members, len(members) // num)
                patches += [chunk.tolist() for chunk in chunks]
            else:
                patches.append(members.tolist())
    return patches


def patches_of(part):
    return [(part == i).nonzero().view(-1).tolist() for i in range(int(part.max()) + 1)]


@settings(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.integers(2, 400),
    st.integers(1, 150),
    st.floats(0.1, 10),
    st.sampled_from([0.0, -3.0, 1e5]),
)
def test_grid_is_the_official_one(make_slice, seed, num_cells, cells_per_part, aspect, shift):
    pos = make_slice(num_cells, seed=seed).pos * torch.tensor([aspect, 1.0]) + shift
    part = grid_partition(pos, cells_per_part)
    assert part.dtype == torch.int64
    assert sorted(patches_of(part)) == sorted(official_grid(pos, cells_per_part))


def test_grid_cuts_crowded_squares_in_file_order():
    # All but the corners of a large square are in one place.
    crowd = torch.full((100, 2), 0.5, dtype=torch.float64)
    pos = torch.cat([torch.tensor([[0.0, 0.0], [10.0, 10.0]], dtype=torch.float64), crowd])
    part = grid_partition(pos, 20)
    patches = patches_of(part)
    assert sorted(patches) == sorted(official_grid(pos, 20))
    assert [len(patch) for patch in patches] == [21, 20, 20, 20, 20, 1]
    assert patches[0] == [0, *range(2, 22)] and patches[4] == [*range(82, 102)]


def test_grid_borders_are_exact_far_from_the_origin():
    # Half-open squares: a cell just below a border is in another one than the cell on it. Of six
    # cells with two in a part, a quarter of the area is one square.
    low, high = 20000.1, 20010.1
    border = low + math.sqrt((high - low) * (high - low) / 4)
    below = math.nextafter(border, 0)
    corners = [[low, low], [high, high], [low, high], [high, low]]
    pos = torch.tensor([*corners, [border, low], [below, low]], dtype=torch.float64)
    for columns in (pos, pos.flip(1)):
        part = grid_partition(columns, 2)
        assert part[5] == part[0] and part[4] != part[0]


@settings(max_examples=25)
@given(st.integers(1, 25), st.integers(1, 25), st.integers(1, 200), st.floats(0.05, 20))
def test_grid_of_a_lattice_loses_no_cell(rows, columns, cells_per_part, spacing):
    pos = lattice(rows, columns) * spacing
    part = grid_partition(pos, cells_per_part)
    sizes = torch.bincount(part)
    assert part.shape == (rows * columns,) and (sizes > 0).all()
    assert sizes.max() < max(2 * cells_per_part, 2)
    if rows * columns <= cells_per_part:
        assert len(sizes) == 1


@settings(max_examples=60)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 60), st.sampled_from([1.0, 0.1, 0.3]))
def test_grid_of_a_lattice_has_all_official_squares(rows, columns, cells_per_part, spacing):
    pos = lattice(rows, columns) * spacing
    patches = patches_of(grid_partition(pos, cells_per_part))
    assert all(patch in patches for patch in official_grid(pos, cells_per_part))


@pytest.mark.parametrize("rows, columns, num, spacing", [(2, 4, 3, 0.3), (2, 13, 1, 0.1)])
def test_grid_keeps_apart_what_the_official_code_loses(rows, columns, num, spacing):
    pos = lattice(rows, columns) * spacing
    official = official_grid(pos, num)
    kept = {cell for patch in official for cell in patch}
    lost = set(range(len(pos))) - kept
    assert len(lost) == 2
    patches = patches_of(grid_partition(pos, num))
    assert all(patch in patches for patch in official)
    others = [patch for patch in patches if patch not in official]
    assert {cell for patch in others for cell in patch} == lost


@pytest.mark.parametrize("axis", [0, 1])
def test_grid_of_cells_on_one_line(axis):
    pos = torch.zeros(100, 2)
    pos[:, axis] = torch.arange(100.0)
    part = grid_partition(pos, 30)
    # The line is cut in order into four of like size.
    assert (part.diff() >= 0).all()
    assert torch.bincount(part).tolist()[:4] == [25, 25, 25, 24]


def test_grid_is_silent(make_slice):
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            grid_partition(make_slice(100).pos, 20)
    finally:
        torch.set_warn_always(always)


def test_grid_of_coincident_cells():
    part = grid_partition(torch.ones(50, 2), 10)
    assert torch.bincount(part).tolist() == [10] * 5


def test_metis_parts_are_of_like_size_and_cut_little(make_slice):
    data = make_slice(2000)
    part = metis_partition(data.edge_index, data.pos, 10, seed=0)
    sizes = torch.bincount(part)
    assert len(sizes) == 10 and sizes.min() >= 180 and sizes.max() <= 220
    inside = (part[data.edge_index[0]] == part[data.edge_index[1]]).float().mean()
    assert inside > 0.75


def test_metis_separates_components():
    # Two equal lattices far apart: the only cut without cost.
    pos = torch.cat([lattice(10, 10), lattice(10, 10) + 1000.0])
    part = metis_partition(radius_graph(pos, 1.5), pos, 2, seed=0)
    assert part[:100].unique().numel() == 1 and part[100:].unique().numel() == 1
    assert part[0] != part[100]


def test_metis_is_deterministic(make_slice):
    data = make_slice(600)
    parts = [metis_partition(data.edge_index, data.pos, 6, seed) for seed in (1, 1, 2, 3)]
    assert torch.equal(parts[0], parts[1])
    assert not (torch.equal(parts[0], parts[2]) and torch.equal(parts[0], parts[3]))


def test_metis_does_not_mind_the_order_of_edges_or_repeated_ones(make_slice):
    data = make_slice(300)
    expected = metis_partition(data.edge_index, data.pos, 4, seed=0)
    shuffled = data.edge_index[:, torch.randperm(data.num_edges)]
    assert torch.equal(metis_partition(shuffled, data.pos, 4, seed=0), expected)
    repeated = torch.cat([data.edge_index, data.edge_index[:, :500]], dim=1)
    assert torch.equal(metis_partition(repeated, data.pos, 4, seed=0), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_isolated_cells_go_with_a_neighbor(make_slice, dtype):
    pos = make_slice(1000).pos.to(dtype)
    edge_index = radius_graph(pos, 0.7)
    degree = torch.bincount(edge_index[0], minlength=1000)
    isolated = (degree == 0).nonzero().view(-1)
    assert 100 < isolated.numel() < 500
    part = metis_partition(edge_index, pos, 10, seed=0)
    sizes = torch.bincount(part)
    assert len(sizes) == 10 and sizes.max() <= 120
    distance = torch.cdist(pos, pos).fill_diagonal_(math.inf)
    near = distance[isolated].argsort(dim=1)[:, :3]
    beside = (part[near] == part[isolated].unsqueeze(1)).any(dim=1)
    # An odd one may be tied to a cell that has it among its own nearest.
    assert beside.float().mean() > 0.97


def test_no_edges_at_all(make_slice):
    pos = make_slice(400).pos
    part = metis_partition(no_edges, pos, 4, seed=0)
    assert torch.bincount(part).tolist() == pytest.approx([100] * 4, abs=15)
    # Parts are regions: most cells share theirs with the nearest cell.
    nearest = torch.cdist(pos, pos).fill_diagonal_(math.inf).argmin(dim=1)
    assert (part[nearest] == part).float().mean() > 0.85


@pytest.mark.parametrize("num_nodes", [2, 3])
def test_few_isolated_cells(num_nodes):
    pos = torch.arange(2.0 * num_nodes).reshape(num_nodes, 2)
    part = metis_partition(no_edges, pos, 2, seed=0)
    assert part.shape == (num_nodes,) and part.min() >= 0 and part.max() <= 1


def test_isolated_cells_of_a_turned_lattice(turn):
    # Four others are equally near, so their order decides, not the last bit.
    pos = lattice(20, 20)
    expected = metis_partition(no_edges, pos, 4, seed=0)
    for degrees in (17.0, 45.0, 120.0):
        turned = turn(pos, degrees) + 3.0
        assert torch.equal(metis_partition(no_edges, turned, 4, seed=0), expected)


def test_one_part(make_slice):
    data = make_slice(30)
    part = metis_partition(data.edge_index, data.pos, 1, seed=0)
    assert part.dtype == torch.int64 and part.tolist() == [0] * 30


@given(st.integers(0, 2**31), st.integers(8, 60), st.integers(2, 9))
@settings(max_examples=30)
def test_metis_of_edges_without_reverse_and_of_loops(seed, num_cells, num_parts):
    """Given as they are, METIS would read beyond its arrays, and end the process now and then."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(num_cells, 2, generator=generator).double()
    edge_index = radius_graph(pos, 0.4)
    wanted = metis_partition(edge_index, pos, num_parts, 0)
    loops = torch.arange(num_cells).repeat(2, 1)
    some = torch.rand(edge_index.size(1), generator=generator) < 0.5
    some |= edge_index[0] < edge_index[1]
    for other in (edge_index[:, some], torch.cat([loops, edge_index], dim=1), edge_index.repeat(1, 2)):
        assert torch.equal(metis_partition(other, pos, num_parts, 0), wanted)
