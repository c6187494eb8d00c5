import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.transforms._nearest_neighbors import nearest_neighbors


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 8))
def test_agrees_with_a_naive_search(seed, num_points, num_neighbors):
    # Few distinct places, so that many distances tie.
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 4, size=(num_points, 2)).astype(float)
    near = nearest_neighbors(torch.from_numpy(points), num_neighbors)
    for i in range(num_points):
        distance = np.linalg.norm(points - points[i], axis=1)
        expected = sorted((d, j) for j, d in enumerate(distance) if j != i)[:num_neighbors]
        assert near[i].tolist() == [j for _, j in expected]


def test_rows_are_a_selection():
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([7, 3, 39])
    assert torch.equal(nearest_neighbors(points, 5, rows), nearest_neighbors(points, 5)[rows])


@pytest.mark.parametrize("degrees", [17.0, 60.0])
def test_a_turned_lattice_has_the_same_neighbours(degrees):
    axis = torch.arange(12.0, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    angle = torch.tensor(np.radians(degrees))
    matrix = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]]).double()
    assert torch.equal(nearest_neighbors(points, 6), nearest_neighbors(points @ matrix, 6))
