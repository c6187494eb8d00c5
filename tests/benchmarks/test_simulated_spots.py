import numpy as np
import torch
from scipy import sparse

from benchmarks.simulated_spots import divide_reference, simulate_spots
from stofm_pyg.transforms.neighbors import nearest_neighbors

# Each type has a gene of its own, of which a cell has 100 counts.
CODES = np.repeat([0, 1, 2], [30, 10, 2])
COUNTS = sparse.csr_matrix(100.0 * np.eye(3)[CODES])
GRID = torch.cartesian_prod(torch.arange(12.0), torch.arange(12.0))


def test_counts_are_those_of_the_mixture():
    counts, shares = simulate_spots(GRID, np.full(144, 1e9), COUNTS, CODES, 3, 20, seed=1)
    np.testing.assert_allclose(counts.toarray(), 2000 * shares)  # Nothing was thinned.
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    mean = shares.mean(axis=0)
    assert mean[0] > mean[1] > mean[2] > 0.05  # The root of the shares: 0.55, 0.32, 0.14.


def test_spots_are_as_deep_as_the_real_ones():
    totals = np.full(144, 500.0)
    counts, shares = simulate_spots(GRID, totals, COUNTS, CODES, 3, 20, seed=1)
    assert (counts.data == np.rint(counts.data)).all()
    found = np.asarray(counts.sum(axis=1)).reshape(-1)
    assert abs(found.mean() - 500) < 10
    # Thinned, they are the same mixtures but for the draw.
    assert np.abs(counts.toarray() / found[:, None] - shares).max() < 0.12


def test_neighbours_are_alike_and_seeds_differ():
    _, shares = simulate_spots(GRID, np.full(144, 500.0), COUNTS, CODES, 3, 20, seed=1)
    near = nearest_neighbors(GRID, 4).numpy()
    around = shares[near].mean(axis=1)
    assert np.corrcoef(shares[:, 0], around[:, 0])[0, 1] > 0.6
    _, again = simulate_spots(GRID, np.full(144, 500.0), COUNTS, CODES, 3, 20, seed=1)
    _, other = simulate_spots(GRID, np.full(144, 500.0), COUNTS, CODES, 3, 20, seed=2)
    assert (shares == again).all() and not (shares == other).all()


def test_each_type_has_reference_cells_on_both_sides():
    codes = np.array([0] * 9 + [1] * 2 + [-1] * 3 + [2] * 3)
    train, test = divide_reference(codes, 2 / 3, seed=0)
    assert np.intersect1d(train, test).size == 0
    assert np.union1d(train, test).tolist() == np.flatnonzero(codes >= 0).tolist()
    assert np.bincount(codes[train]).tolist() == [6, 1, 2]
    assert np.bincount(codes[test]).tolist() == [3, 1, 1]
