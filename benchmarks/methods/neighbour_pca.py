import numpy as np

from benchmarks.data import BenchmarkData
from benchmarks.methods.pca import PCA
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms.neighbors import nearest_neighbors


class NeighbourPCA(PCA):
    r"""A cell's own principal components beside their mean over its nearest neighbours in space.

    Args:
        num_neighbors (int, optional): The number of neighbours. (default: :obj:`25`)
        scale (bool, optional): See :class:`PCA`. (default: :obj:`False`)
    """

    def __init__(self, num_neighbors: int = 25, scale: bool = False):
        super().__init__(scale)
        self.num_neighbors = num_neighbors

    def embed(self, data: BenchmarkData, seed: int = 0, without: int | None = None):
        own = super().embed(data, seed, without)
        return [
            np.concatenate([x, neighbour_mean(item, x, self.num_neighbors)], axis=1)
            for item, x in zip(data.slices, own, strict=True)
        ]


def neighbour_mean(item, x: np.ndarray, num_neighbors: int) -> np.ndarray:
    r"""The mean of the rows of the nearest cells in space of each cell, without itself."""
    near = nearest_neighbors(item.pos[cell_mask(item)], num_neighbors).numpy()
    return x[near].mean(axis=1)
