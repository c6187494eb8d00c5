r"""Maps of numbers over a slice, the truth beside the prediction."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stofm_pyg.plot import plot_slice

WIDTH, HEIGHT = 4.2, 3.4


def draw_maps(pos: np.ndarray, columns: Mapping[str, Mapping[str, np.ndarray]], path: Path):
    r"""Draws a row of maps for each thing that was predicted, cells or spots in the colour of a number.

    Args:
        pos (np.ndarray): Positions :math:`(N, 2)`.
        columns (dict): For each row, by what stands above it, the numbers :math:`(N)` of each map by its
            title, NaN where unknown.
        path (Path): The picture, in an existing folder.
    """
    width = max(len(maps) for maps in columns.values())
    figure = Figure(figsize=(WIDTH * width, HEIGHT * len(columns)), layout="constrained")
    axes = figure.subplots(len(columns), width, squeeze=False)
    for row, (name, maps) in zip(axes, columns.items(), strict=True):
        for ax, (title, values) in zip(row, maps.items(), strict=False):
            plot_slice(pos, np.asarray(values, dtype=float), ax=ax, title=f"{name}: {title}")
        for ax in row[len(maps) :]:
            ax.set_axis_off()
    figure.savefig(path, dpi=100)
