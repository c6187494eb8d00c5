import numpy as np
import torch

from benchmarks.data import BenchmarkData
from benchmarks.methods.pca import PCA
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms.rings import ring_means


class RingPCA(PCA):
    r"""A cell's own principal components, of scaled genes, beside their means over rings around it, at 0
    to 2, 2 to 4 and 4 to 8 spacings of cells: the linear baseline to beat."""

    def __init__(self):
        super().__init__(scale=True)

    def embed(self, data: BenchmarkData, seed: int = 0, without: int | None = None):
        out = []
        for item, x in zip(data.slices, super().embed(data, seed, without), strict=True):
            rings = ring_means(torch.from_numpy(x), item.pos[cell_mask(item)])
            out.append(np.concatenate([x, rings.flatten(1).numpy()], axis=1))
        return out
