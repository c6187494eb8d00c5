import numpy as np

from benchmarks.data import BenchmarkData
from stofm_pyg.nn.node_type import cell_mask


class Coordinates:
    r"""A control that sees no expression: the position alone, as a random Fourier basis so that the
    head can draw any map of the slice.

    Where it does well, test cells are too close to training cells for the split to say much.

    Args:
        num_waves (int, optional): The number of waves. (default: :obj:`50`)
        wavelength (float, optional): A typical wavelength as a share of the slice's radius.
            (default: :obj:`1.0`)
    """

    learns = False

    def __init__(self, num_waves: int = 50, wavelength: float = 1.0):
        self.num_waves = num_waves
        self.wavelength = wavelength

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        # The same waves for all slices and runs: the basis is part of the method.
        rng = np.random.default_rng(0)
        wave = rng.normal(size=(2, self.num_waves)) * 2 * np.pi / self.wavelength
        phase = rng.uniform(0, 2 * np.pi, size=self.num_waves)
        out = []
        for item in data.slices:
            pos = item.pos[cell_mask(item)].double().numpy()
            pos = (pos - pos.mean(axis=0)) / np.linalg.norm(pos - pos.mean(axis=0), axis=1).max()
            out.append(np.concatenate([pos, np.cos(pos @ wave + phase)], axis=1))
        return out
