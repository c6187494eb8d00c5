import math

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import ToUndirected

from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms import SpatialRadiusGraph
from stofm_pyg.transforms.check_positions import check_positions
from stofm_pyg.transforms.neighbors import check_distances, nearest_neighbor_spacing, neighbor_spacing


def test_cell_mask():
    data = Data(pos=torch.rand(5, 2))
    assert cell_mask(data).tolist() == [True] * 5
    data.node_type = torch.tensor([0, 1, 2, 3, 0], dtype=torch.uint8)
    assert cell_mask(data).tolist() == [True, False, False, False, True]


def test_good_positions_come_back_as_they_are():
    pos = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.5]])
    assert check_positions(pos) is pos


@pytest.mark.parametrize(
    "pos, message",
    [
        (None, r"has no positions; set 'data.pos'"),
        (torch.rand(5, 3), r"must have shape \[N, 2\] \(got \[5, 3\]\).*'pos\[:, :2\]'"),
        (torch.rand(5), r"must have shape \[N, 2\] \(got \[5\]\)"),
        (torch.rand(0, 2), "The slice is empty"),
        (torch.full((4, 2), 1.5), r"All 4 positions equal \[1.5, 1.5\].*two cells at different"),
        (torch.tensor([[3.0, 4.0]]), r"All 1 positions equal \[3.0, 4.0\]"),
    ],
)
def test_bad_positions(pos, message):
    with pytest.raises(ValueError, match=message):
        check_positions(pos)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_first_row_that_is_not_finite_is_named(value):
    pos = torch.arange(12.0).reshape(6, 2)
    pos[5, 0] = math.nan
    pos[3, 1] = value
    with pytest.raises(ValueError, match=rf"2 of 6 .* first in row 3: \[6.0, {value}\]"):
        check_positions(pos)


def test_spacing_of_a_line():
    # Distances to the nearest: 1, 1, 2, 4, 4.
    pos = torch.tensor([[0.0, 0], [1, 0], [3, 0], [7, 0], [11, 0]])
    assert nearest_neighbor_spacing(pos) == 2.0


def test_spacing_counts_coincident_cells_once():
    pos = torch.tensor([[0.0, 0], [3, 0], [3, 4]])
    assert nearest_neighbor_spacing(pos) == 3.0
    assert nearest_neighbor_spacing(pos.repeat(5, 1)) == 3.0


def test_spacing_against_all_pairs(make_slice):
    pos = make_slice(301).pos
    distance = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distance.fill_diagonal_(math.inf).amin(dim=1)
    assert nearest_neighbor_spacing(pos) == pytest.approx(float(nearest.median()), rel=1e-12)
    assert nearest_neighbor_spacing(pos.float()) == pytest.approx(float(nearest.median()), rel=1e-4)


def jittered(pos, copies, jitter):
    """Several cells around each position."""
    pos = pos.repeat_interleave(copies, dim=0)
    generator = torch.Generator().manual_seed(0)
    return pos + jitter * torch.randn(pos.shape, generator=generator, dtype=pos.dtype)


@pytest.mark.parametrize("copies, jitter", [(2, 1e-9), (2, 1e-3), (10, 0.01), (25, 0.02), (10, 0.08)])
def test_spacing_of_jittered_spots_is_that_of_the_spots(lattice, turn, copies, jitter):
    pos = jittered(100.0 * lattice(10, 12), copies, 100.0 * jitter)
    spacing = neighbor_spacing(pos)
    assert spacing.heaps and spacing.num_places == 120
    assert spacing.length == pytest.approx(100.0, abs=300.0 * jitter / math.sqrt(copies) + 1e-6)
    turned = neighbor_spacing(turn(pos, 31.0) * torch.tensor([-1.0, 1.0]) + 5000.0)
    assert turned.length == pytest.approx(spacing.length, rel=1e-6)


def test_twins_of_most_cells_are_one_place_with_them(make_slice):
    pos = make_slice(300).pos
    alone = nearest_neighbor_spacing(pos)
    twins = torch.cat([pos, pos[:240] + 1e-7])
    assert neighbor_spacing(twins).num_places == 300
    assert nearest_neighbor_spacing(twins) == pytest.approx(alone, rel=1e-6)
    # Twins of jittered twins.
    pos = jittered(jittered(pos, 3, 1e-6), 2, 1e-12)
    assert nearest_neighbor_spacing(pos) == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_of_tissue_are_no_heaps(make_slice, seed):
    # 30 cores of 150 cells, far from one another; two pairs; a line; and a stray.
    cores = [make_slice(150, seed=30 * seed + i).pos + 1000.0 * i for i in range(30)]
    pairs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1e6, 0.0], [1e6 + 1, 0.0]])
    line = torch.stack([torch.arange(500.0), torch.zeros(500)], dim=1)
    stray = torch.cat([make_slice(200, seed=seed).pos, torch.full((1, 2), 1e9)])
    for pos in (torch.cat(cores), pairs, line, stray, make_slice(20, seed=seed).pos):
        distance = torch.cdist(pos.double(), pos.double(), compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.fill_diagonal_(math.inf).amin(dim=1)
        spacing = neighbor_spacing(pos)
        assert not spacing.heaps and spacing.num_places == len(pos)
        assert spacing.length == pytest.approx(float(nearest.median()), rel=1e-9)


def test_distances_that_are_those_of_the_positions(make_slice):
    data = SpatialRadiusGraph(2.0)(make_slice(60))
    check_distances(data)
    data.pos = data.pos.float()
    check_distances(data)
    check_distances(Data(x=torch.zeros(2, 1)))
    check_distances(Data(edge_index=data.edge_index, edge_attr=torch.zeros(data.num_edges, 1)))
    none = Data(pos=torch.zeros(0, 2), edge_index=torch.zeros(2, 0), edge_attr=torch.zeros(0, 1))
    check_distances(none)


def test_distances_that_were_added_up_are_refused(make_slice):
    data = SpatialRadiusGraph(2.0)(make_slice(60))
    undirected = ToUndirected(reduce="min")(data.clone())
    check_distances(undirected)
    assert torch.equal(undirected.edge_attr, data.edge_attr)
    (first, second), distance = data.edge_index[:, 0].tolist(), float(data.edge_attr[0])
    with pytest.raises(ValueError) as error:
        check_distances(ToUndirected()(data.clone()))
    number = f"{data.num_edges:,}"
    assert f"{number} of {number} edges" in str(error.value) and "reduce=" in str(error.value)
    assert f"from node {first} to {second}: {2 * distance:g} instead of {distance:g}" in str(error.value)
    data.edge_attr = data.edge_attr[1:]
    with pytest.raises(ValueError, match="one distance for each"):
        check_distances(data)
