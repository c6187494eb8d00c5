from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.data import BenchmarkData
from benchmarks.methods.neighbour_pca import neighbour_mean


class WithNeighbours:
    r"""Another method's embedding of a cell beside its mean over the nearest cells in space: what space
    alone adds to a method that sees no positions.

    Args:
        method (Callable): Makes the method, from a preset, a device and a checkpoint.
        preset (str, optional): See :class:`Peer`. (default: :obj:`"small"`)
        device (str, optional): See :class:`Peer`. (default: :obj:`"auto"`)
        checkpoint (str, optional): See :class:`Peer`. (default: :obj:`None`)
        num_neighbors (int, optional): The number of neighbours. (default: :obj:`15`)
    """

    seeded = True

    def __init__(
        self,
        method: Callable[..., Any],
        preset: str = "small",
        device: str = "auto",
        checkpoint: str | None = None,
        num_neighbors: int = 15,
    ):
        self.method = method(preset=preset, device=device, checkpoint=checkpoint)
        self.num_neighbors = num_neighbors

    @property
    def learns(self) -> bool:
        r"""Whether anything is learned from the slices."""
        return self.method.learns

    @property
    def trains(self) -> bool:
        r"""Whether :attr:`steps` are trained."""
        return self.method.trains

    @property
    def steps(self) -> int | None:
        r"""The number of steps of the method."""
        return self.method.steps

    @steps.setter
    def steps(self, steps: int | None):
        self.method.steps = steps

    @property
    def info(self) -> dict[str, float]:
        r"""That of the method."""
        return self.method.info

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        return self.beside(data, self.method.embed(data, seed, without))

    def beside(self, data: BenchmarkData, embedding: Sequence[np.ndarray]) -> list[np.ndarray]:
        r"""The method's embedding of the cells of each slice beside its mean over the nearest cells."""
        return [
            np.concatenate([x, neighbour_mean(item, x, self.num_neighbors)], axis=1)
            for item, x in zip(data.slices, embedding, strict=True)
        ]
