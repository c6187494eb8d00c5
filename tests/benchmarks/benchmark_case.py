"""Slices of a benchmark without files."""

import numpy as np


class Slices:
    """What a method needs of a :class:`BenchmarkData`: slices, and their principal components."""

    def __init__(self, slices, components=None):
        self.slices = slices
        self._components = components

    def components(self, *args):
        return [np.asarray(x, dtype=float) for x in self._components]
