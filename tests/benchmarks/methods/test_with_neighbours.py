import numpy as np
import torch
from torch_geometric.data import Data

from benchmarks.methods.with_neighbours import WithNeighbours
from tests.benchmarks.benchmark_case import Slices


class Fixed:
    """A method that embeds the cells of a line by their squares."""

    learns = False
    info = {"parameters": 7}

    def __init__(self, preset, device, checkpoint):
        self.made_with = (preset, device, checkpoint)

    def embed(self, data, seed, without):
        self.called_with = (seed, without)
        return [np.arange(len(item.pos))[:, None] ** 2.0 for item in data.slices]


def test_own_embedding_beside_the_mean_of_the_nearest_cells():
    pos = torch.stack([torch.arange(20.0), torch.zeros(20)], dim=1)
    method = WithNeighbours(Fixed, "tiny", "cpu", "folder")
    (out,) = method.embed(Slices([Data(pos=pos, node_type=torch.zeros(20))]), 3, 1)
    squares = np.arange(20) ** 2.0
    np.testing.assert_array_equal(out[:, 0], squares)
    np.testing.assert_allclose(out[0, 1], squares[1:16].mean())
    # Of 15 neighbours, seven on each side, and of the two eighth ones the first.
    near = [*range(2, 10), *range(11, 18)]
    np.testing.assert_allclose(out[10, 1], squares[near].mean())
    assert method.method.made_with == ("tiny", "cpu", "folder")
    assert method.method.called_with == (3, 1)
    assert method.info == {"parameters": 7} and method.learns is False
