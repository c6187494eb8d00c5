import numpy as np

from benchmarks.data import BenchmarkData


class PCA:
    r"""A cell's own expression: the principal components of the counts.

    Args:
        scale (bool, optional): Divides each gene by its standard deviation. (default: :obj:`False`)
    """

    learns = True

    def __init__(self, scale: bool = False):
        self.scale = scale

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        return data.components(without, self.scale)
