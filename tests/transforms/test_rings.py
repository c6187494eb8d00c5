import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stofm_pyg.transforms import rings as module
from stofm_pyg.transforms.neighbors import nearest_neighbor_spacing
from stofm_pyg.transforms.rings import RINGS, ring_means


def dense_means(x, pos, rings):
    """The same with a matrix of all distances."""
    distance = torch.cdist(pos.double(), pos.double(), compute_mode="donot_use_mm_for_euclid_dist")
    distance /= nearest_neighbor_spacing(pos)
    distance.fill_diagonal_(-1)
    out = torch.zeros(len(x), len(rings), x.size(1), dtype=torch.float64)
    for number, (low, high) in enumerate(rings):
        inside = (distance >= 0) & (distance <= high)
        inside &= distance > low if low > 0 else torch.ones_like(inside)
        for cell in range(len(x)):
            if inside[cell].any():
                out[cell, number] = x[inside[cell]].double().mean(dim=0)
    return out


@settings(max_examples=15)
@given(
    num_cells=st.integers(2, 120),
    seed=st.integers(0, 999),
    block=st.integers(1, 50),
    scale=st.floats(0.01, 1000),
)
def test_means_of_all_pairs(make_slice, num_cells, seed, block, scale):
    data = make_slice(num_cells, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELLS_PER_BLOCK", block)
        found = ring_means(data.x, scale * data.pos)
    assert found.dtype == torch.float32 and found.shape == (num_cells, 3, 4)
    torch.testing.assert_close(
        found.double(), dense_means(data.x, data.pos, RINGS), atol=1e-5, rtol=1e-5
    )


def test_rings_of_ones_own(make_slice):
    data, rings = make_slice(80), [(0.0, 1.5), (3.0, 5.0)]
    found = ring_means(data.x, data.pos, rings)
    torch.testing.assert_close(found.double(), dense_means(data.x, data.pos, rings))


def test_the_cell_itself_is_left_out_but_not_its_twin():
    pos = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    x = torch.tensor([[1.0], [10.0], [100.0], [1000.0], [10000.0]])
    first = ring_means(x, pos, [(0.0, 1.0)])[:, 0, 0].tolist()
    assert first == [55.0, 50.5, 337.0, 5050.0, 1000.0]


def test_an_empty_ring_is_zero():
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert ring_means(torch.ones(2, 3), pos).tolist() == [[[1.0] * 3, [0.0] * 3, [0.0] * 3]] * 2


@pytest.mark.parametrize("degrees", [0, 17, 45, 133.7])
def test_a_lattice_keeps_its_rings_when_turned(lattice, turn, degrees):
    # Many distances lie exactly on the rim of a ring.
    pos = turn(lattice(9, 9), degrees) * 55 + 1e4
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((81, 2)))
    expected = dense_means(x, lattice(9, 9), [(low + 1e-9, high + 1e-9) for low, high in RINGS])
    expected[:, 0] = dense_means(x, lattice(9, 9), [(0.0, 2 + 1e-9)])[:, 0]
    torch.testing.assert_close(ring_means(x, pos), expected)


def test_many_cells_at_one_place_are_taken_in_smaller_blocks(make_slice, monkeypatch):
    data = make_slice(60, seed=1)
    pos = torch.cat([data.pos, data.pos[:1].repeat(40, 1)])
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    expected = ring_means(x, pos)
    sizes, tree = [], module.cKDTree

    def counted(points):
        sizes.append(len(points))
        return tree(points)

    monkeypatch.setattr(module, "cKDTree", counted)
    monkeypatch.setattr(module, "PAIRS_PER_BLOCK", 300)
    torch.testing.assert_close(ring_means(x, pos), expected, rtol=1e-6, atol=1e-6)
    assert min(sizes[1:]) < 10 < max(sizes[1:])
