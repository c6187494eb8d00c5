import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.spots import GRIDS, bin_cells


def test_proportions_by_hand():
    # Two heaps far apart, of four and of two cells; one cell of no known type.
    pos = np.array([[0, 0], [0.1, 0], [0, 0.1], [0.1, 0.1], [100, 0], [100.1, 0], [100, 0.1]])
    codes = np.array([0, 0, 0, 2, 1, 2, -1])
    counts = sparse.csr_matrix(np.arange(14, dtype=np.float32).reshape(7, 2))
    spots = bin_cells(counts, pos, codes, 3, cells_per_spot=3)
    order = np.argsort(spots.pos[:, 0])
    assert spots.proportions[order].tolist() == [[0.75, 0, 0.25], [0, 0.5, 0.5]]
    assert spots.counts.toarray()[order].tolist() == [[12, 16], [18, 20]]
    first, second = order
    assert spots.spot.tolist() == [first] * 4 + [second] * 2 + [-1]


@settings(max_examples=20)
@given(
    st.integers(0, 2**32 - 1), st.integers(30, 120), st.sampled_from(GRIDS), st.floats(1.0, 8.0),
    st.floats(1e-3, 1e4),
)  # fmt: skip
def test_spots_are_sums_of_their_cells(seed, num_cells, grid, cells_per_spot, unit):
    rng = np.random.default_rng(seed)
    pos = unit * rng.uniform(size=(num_cells, 2)) - 3 * unit
    codes = rng.integers(-1, 4, num_cells)
    codes[:20] = rng.integers(0, 4, 20)
    counts = sparse.random(num_cells, 12, 0.3, format="csr", random_state=seed % 1000)
    counts.data = np.ceil(9 * counts.data).astype(np.float32)
    spots = bin_cells(counts, pos, codes, 4, cells_per_spot, grid)
    known = codes >= 0
    assert (spots.spot[~known] == -1).all() and (spots.spot[known] >= 0).all()
    for number in range(spots.counts.shape[0]):
        rows = np.flatnonzero(spots.spot == number)
        assert rows.size > 0
        np.testing.assert_array_equal(spots.counts[number].toarray()[0], counts[rows].toarray().sum(0))
        want = np.bincount(codes[rows], minlength=4) / rows.size
        np.testing.assert_allclose(spots.proportions[number], want)
    assert spots.counts.sum() == counts[known].sum()
    # Each cell is in the nearest spot, half a step away at most.
    far = np.linalg.norm(pos[known] - spots.pos[spots.spot[known]], axis=1)
    reach = {"square": np.sqrt(0.5), "hexagonal": np.sqrt(1 / 3)}[grid]
    assert far.max() <= reach * spots.pitch * (1 + 1e-6)
    distance = np.linalg.norm(pos[known][:, None] - spots.pos, axis=2).min(axis=1)
    np.testing.assert_allclose(far, distance, atol=1e-9 * unit)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_pitch_gives_as_many_cells_as_asked_for(grid):
    pos = np.random.default_rng(0).uniform(size=(2000, 2)) * [3.0, 1.0]
    counts, codes = sparse.csr_matrix(np.ones((2000, 1))), np.zeros(2000, dtype=int)
    spots = bin_cells(counts, pos, codes, 1, 10.0, grid)
    assert 9.5 <= 2000 / spots.counts.shape[0] <= 11
    area = {"square": 1.0, "hexagonal": np.sqrt(3) / 2}[grid] * spots.pitch**2
    assert area * 2000 / 3.0 == pytest.approx(10.0, rel=0.2)
    # Spots lie on a lattice: all nearest neighbours are one pitch away.
    distance = np.linalg.norm(spots.pos[:, None] - spots.pos, axis=2)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_allclose(distance.min(axis=1), spots.pitch)
    around = (np.abs(distance - spots.pitch) < 1e-9).sum(axis=1)
    assert around.max() == {"square": 4, "hexagonal": 6}[grid]


def test_what_cannot_be_binned_is_refused():
    counts, pos = sparse.csr_matrix(np.ones((10, 2))), np.random.default_rng(0).normal(size=(10, 2))
    codes = np.zeros(10, dtype=int)
    with pytest.raises(ValueError, match="Unknown grid 'round'; known: square, hexagonal"):
        bin_cells(counts, pos, codes, 1, grid="round")
    with pytest.raises(ValueError, match=r"at least 1 \(got 0.5\)"):
        bin_cells(counts, pos, codes, 1, 0.5)
    with pytest.raises(ValueError, match="10 cells of a known type are too few for two spots of 6"):
        bin_cells(counts, pos, codes, 1, 6)
    with pytest.raises(ValueError, match="All cells lie at one place"):
        bin_cells(counts, np.zeros((10, 2)), codes, 1)
