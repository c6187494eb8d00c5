import numpy as np
from scipy.spatial import cKDTree

from benchmarks.methods.pca import PCA
from stofm_pyg.nn import NodeType


class NeighbourPCA(PCA):
    r"""A cell's own principal components beside their mean over its nearest neighbours in space.

    Args:
        num_neighbors (int, optional): The number of neighbours. (default: :obj:`25`)
    """

    def __init__(self, num_neighbors: int = 25):
        self.num_neighbors = num_neighbors

    def embed(self, slices, seed: int, on_step, writer) -> list[np.ndarray]:
        out = []
        for data, x in zip(slices, super().embed(slices, seed, on_step, writer), strict=True):
            pos = data.pos[data.node_type == NodeType.CELL].numpy()
            k = min(self.num_neighbors + 1, len(pos))
            near = cKDTree(pos).query(pos, k=k)[1].reshape(len(pos), k)
            out.append(np.concatenate([x, x[near[:, 1:]].mean(axis=1)], axis=1))
        return out
