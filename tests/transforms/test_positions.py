import math

import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.transforms._positions import cell_mask, check_positions, nearest_neighbor_spacing


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
