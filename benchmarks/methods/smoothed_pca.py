import numpy as np

from benchmarks.data import BenchmarkData
from benchmarks.methods.neighbour_pca import NeighbourPCA, neighbour_mean
from benchmarks.methods.pca import PCA


class SmoothedPCA(NeighbourPCA):
    r"""Principal components of scaled genes averaged over a cell and its nearest neighbours, and
    standardised in each slice.

    Args:
        num_neighbors (int, optional): The number of neighbours. (default: :obj:`15`)
    """

    def __init__(self, num_neighbors: int = 15):
        super().__init__(num_neighbors, scale=True)

    def embed(self, data: BenchmarkData, seed: int = 0, without: int | None = None):
        out = []
        for item, x in zip(data.slices, PCA.embed(self, data, seed, without), strict=True):
            size = min(self.num_neighbors, len(x) - 1)
            x = (x + size * neighbour_mean(item, x, size)) / (1 + size)
            out.append((x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-8))
        return out
