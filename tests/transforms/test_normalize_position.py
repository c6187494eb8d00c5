import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from stofm_pyg.transforms import NormalizePosition

angles = st.floats(0, 360, exclude_max=True)
shifts = st.tuples(*[st.floats(-1e4, 1e4)] * 2)


def distances(pos):
    return torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(pos):
    return distances(pos).fill_diagonal_(math.inf).amin(dim=1)


def test_spacing_by_hand():
    # Distances to the nearest: 2, 2, 4.
    data = NormalizePosition()(Data(pos=torch.tensor([[0.0, 0], [2, 0], [2, 4]])))
    mean = torch.tensor([4 / 3, 4 / 3])
    expected = (torch.tensor([[0.0, 0], [2, 0], [2, 4]]) - mean) / 2
    assert torch.allclose(data.pos, expected)
    assert data.unit == "spacing"


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(1e-3, 1e4), shifts)
def test_spacing_makes_the_median_nearest_distance_one(make_slice, seed, half, size, shift):
    pos = make_slice(2 * half + 1, seed=seed).pos * size + torch.tensor(shift)
    out = NormalizePosition("spacing")(Data(pos=pos)).pos
    assert float(nearest(out).median()) == pytest.approx(1.0, rel=1e-6)
    assert torch.allclose(out.mean(dim=0), torch.zeros(2, dtype=out.dtype), atol=1e-6)
    # All distances change by the one factor.
    ratio = distances(out) * nearest(pos).median()
    assert torch.allclose(ratio, distances(pos), rtol=1e-6)


def test_coincident_cells_do_not_shrink_the_unit(make_slice):
    pos = make_slice(51).pos
    once = NormalizePosition()(Data(pos=pos)).pos
    thrice = NormalizePosition()(Data(pos=pos.repeat(3, 1))).pos
    assert torch.allclose(thrice, once.repeat(3, 1))


def test_micron():
    pos = torch.tensor([[10.0, 0.0], [10.0, 30.0], [40.0, 30.0]])
    data = NormalizePosition("micron", microns_per_unit=0.5)(Data(pos=pos))
    assert torch.allclose(data.pos, (pos - torch.tensor([20.0, 20.0])) * 0.5)
    assert data.unit == "micron"
    data = NormalizePosition("micron")(Data(pos=pos))
    assert torch.allclose(distances(data.pos), distances(pos))


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 100), st.floats(1e-3, 1e4), shifts)
def test_official_box(make_slice, seed, num_cells, size, shift):
    pos = make_slice(num_cells, seed=seed).pos * torch.tensor([size, 2 * size])
    data = NormalizePosition("official")(Data(pos=pos + torch.tensor(shift)))
    low, high = data.pos.amin(dim=0), data.pos.amax(dim=0)
    assert float((high - low).norm()) == pytest.approx(100.0, rel=1e-6)
    assert torch.allclose(low, -high, atol=1e-6)
    assert data.unit == "official"


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 100), st.floats(1e-2, 1e4), shifts)
def test_official_is_what_the_official_code_computes(make_slice, seed, num_cells, size, shift):
    pos = make_slice(num_cells, seed=seed).pos * torch.tensor([size, 3 * size]) + torch.tensor(shift)
    (x_max, y_max), (x_min, y_min) = pos.numpy().max(axis=0), pos.numpy().min(axis=0)
    diagonal = math.sqrt((x_max - x_min) ** 2 + (y_max - y_min) ** 2)
    centre = torch.tensor([(x_max + x_min) / 2, (y_max + y_min) / 2], dtype=torch.float64)
    out = NormalizePosition("official")(Data(pos=pos)).pos
    assert torch.allclose(out, (pos - centre) / diagonal * 100, rtol=1e-14, atol=1e-12)


def test_official_by_hand():
    pos = torch.tensor([[1.0, 1.0], [4.0, 5.0], [1.0, 3.0]])
    out = NormalizePosition("official")(Data(pos=pos)).pos
    assert torch.allclose(out, torch.tensor([[-30.0, -40.0], [30.0, 40.0], [-30.0, 0.0]]))


@settings(max_examples=20)
@given(angles, shifts, st.booleans())
@pytest.mark.parametrize("unit", ["spacing", "micron"])
def test_rigid_motions_keep_distances(make_slice, turn, unit, degrees, shift, flip):
    pos = make_slice(101).pos
    moved = turn(pos, degrees) * torch.tensor([-1.0 if flip else 1.0, 1.0]) + torch.tensor(shift)
    transform = NormalizePosition(unit, microns_per_unit=0.2)
    expected = distances(transform(Data(pos=pos)).pos)
    assert torch.allclose(distances(transform(Data(pos=moved)).pos), expected, atol=1e-8)


def test_official_depends_on_rotation(lattice, turn):
    # Corners included, so the turned box is 14 / sqrt(2) wide and high: diagonal 14, not sqrt(116).
    pos = lattice(11, 5)
    transform = NormalizePosition("official")
    before = distances(transform(Data(pos=pos)).pos)
    after = distances(transform(Data(pos=turn(pos, 45.0))).pos)
    factor = math.sqrt(116) / 14
    assert factor == pytest.approx(0.769, abs=1e-3)
    assert torch.allclose(after, before * factor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", NormalizePosition.units)
def test_dtype_is_kept_and_input_is_not_changed(make_slice, unchanged, unit, dtype):
    data = make_slice(20, dtype=dtype)
    out = unchanged(NormalizePosition(unit), data)
    assert out.pos.dtype == dtype and not torch.equal(out.pos, data.pos)
    assert torch.equal(out.x, data.x)


@pytest.mark.parametrize("unit", NormalizePosition.units)
def test_integer_positions(unit):
    # Pixel coordinates are often whole numbers.
    pos = torch.tensor([[0, 0], [2, 0], [2, 4], [9, 9]])
    out = NormalizePosition(unit)(Data(pos=pos)).pos
    assert torch.allclose(out, NormalizePosition(unit)(Data(pos=pos.float())).pos)


@pytest.mark.parametrize("unit", NormalizePosition.units)
@pytest.mark.parametrize(
    "pos, message",
    [
        (torch.tensor([[0.0, 0], [1, 1], [math.nan, 2]]), "1 of 3 positions.*row 2"),
        (torch.rand(4, 3), r"\[N, 2\] \(got \[4, 3\]\)"),
        (torch.rand(0, 2), "empty"),
        (torch.ones(3, 2), "All 3 positions equal"),
        (None, "has no positions"),
    ],
)
def test_bad_positions(unit, pos, message):
    with pytest.raises(ValueError, match=message):
        NormalizePosition(unit)(Data(pos=pos))


def test_bad_arguments():
    with pytest.raises(ValueError, match="Unknown unit 'mm'; known: spacing, micron, official"):
        NormalizePosition("mm")
    for value in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=rf"'microns_per_unit' must be .* \(got {value}\)"):
            NormalizePosition("micron", microns_per_unit=value)


def test_repr():
    assert str(NormalizePosition()) == "NormalizePosition(unit='spacing')"
    assert str(NormalizePosition("official")) == "NormalizePosition(unit='official')"


def test_heaps_are_told_with_numbers(lattice, caplog):
    lattice = lattice(6, 6).repeat_interleave(5, dim=0) * 50.0
    jitter = torch.randn(lattice.shape, generator=torch.Generator().manual_seed(0))
    data = NormalizePosition()(Data(pos=lattice + 0.01 * jitter, name="left"))
    assert caplog.messages == [
        "Slice 'left': 180 cells lie in 36 heaps; the unit is the distance of the heaps, "
        + caplog.messages[0].split()[-1]
    ]
    assert float(caplog.messages[0].split()[-1]) == pytest.approx(50.0, abs=0.02)
    assert float((data.pos[5] - data.pos[0]).norm()) == pytest.approx(1.0, abs=2e-3)
    caplog.clear()
    NormalizePosition()(Data(pos=lattice))
    assert not caplog.messages
