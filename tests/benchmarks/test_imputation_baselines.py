import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from benchmarks.imputation_baselines import expression_neighbours, gene_mean, space_neighbours
from benchmarks.splits import Fold
from tests.benchmarks.benchmark_case import Slices


def make_slices():
    """Two slices of 40 cells in two groups: by place in the first 20 and the others, by expression in
    even and odd ones."""
    pos = torch.zeros(40, 2)
    pos[:, 0] = torch.arange(40) + 1000.0 * (torch.arange(40) >= 20)
    item = Data(pos=pos, node_type=torch.zeros(40, dtype=torch.uint8), num_nodes=40)
    odd = np.arange(40) % 2
    components = [np.stack([10.0 * odd, 0.01 * np.arange(40)], axis=1) for _ in range(2)]
    return Slices([item, item], components), odd


def test_neighbours_in_expression_are_of_the_same_group_in_any_slice():
    data, odd = make_slices()
    truth = [np.stack([odd + 1.0, np.zeros(40)], axis=1), np.full((40, 2), np.nan)]
    fold = Fold(1, {0: np.arange(40)}, np.array([4, 7]))
    found = expression_neighbours(data, fold, truth)
    assert found.tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_neighbours_in_space_are_near_and_of_the_slice():
    data, _ = make_slices()
    truth = [np.arange(40.0)[:, None], np.full((40, 1), 1e6)]
    fold = Fold(0, {0: np.setdiff1d(np.arange(40), [5, 39]), 1: np.arange(40)}, np.array([5, 39]))
    found = space_neighbours(data, fold, truth)
    # Of cell 5 the 15 nearest others are 0 to 15, of cell 39 those before it.
    want = [np.delete(np.arange(16), 5).mean(), np.arange(24, 39).mean()]
    assert found[:, 0].tolist() == pytest.approx(want)


def test_without_training_cells_in_the_slice_space_says_nothing():
    data, _ = make_slices()
    truth = [np.arange(40.0)[:, None], np.full((40, 1), np.nan)]
    fold = Fold(1, {0: np.arange(10)}, np.array([3, 8]))
    assert space_neighbours(data, fold, truth).tolist() == [[4.5], [4.5]]


def test_the_mean_is_that_of_the_training_cells():
    data, _ = make_slices()
    truth = [np.arange(80.0).reshape(40, 2), np.ones((40, 2))]
    fold = Fold(0, {0: np.array([0, 1]), 1: np.array([0, 1])}, np.arange(2, 5))
    assert gene_mean(data, fold, truth).tolist() == [[1.0, 1.5]] * 3


def test_few_training_cells_are_all_neighbours():
    data, _ = make_slices()
    truth = [np.arange(40.0)[:, None], np.zeros((40, 1))]
    fold = Fold(0, {0: np.array([0, 3])}, np.array([20]))
    assert expression_neighbours(data, fold, truth).tolist() == [[1.5]]
    assert space_neighbours(data, fold, truth).tolist() == [[1.5]]
