import numpy as np

from benchmarks.methods.pca import PCA
from stofm_pyg.nn import NodeType


class Coordinates(PCA):
    r"""A control that sees no expression: the position alone, as a random Fourier basis so that the
    head can draw any map of the slice.

    Where it does well, test cells are too close to training cells for the split to say much.

    Args:
        num_waves (int, optional): The number of waves. (default: :obj:`200`)
        wavelength (float, optional): A typical wavelength as a share of the slice's radius.
            (default: :obj:`1.0`)
    """

    def __init__(self, num_waves: int = 200, wavelength: float = 1.0):
        self.num_waves = num_waves
        self.wavelength = wavelength

    def embed(self, slices, seed: int, on_step, writer) -> list[np.ndarray]:
        # The same waves for all slices and runs: the basis is part of the method.
        rng = np.random.default_rng(0)
        wave = rng.normal(size=(2, self.num_waves)) * 2 * np.pi / self.wavelength
        phase = rng.uniform(0, 2 * np.pi, size=self.num_waves)
        out = []
        for data in slices:
            pos = data.pos[data.node_type == NodeType.CELL].double().numpy()
            pos = (pos - pos.mean(axis=0)) / np.linalg.norm(pos - pos.mean(axis=0), axis=1).max()
            out.append(np.concatenate([pos, np.cos(pos @ wave + phase)], axis=1))
        on_step(1)
        return out
