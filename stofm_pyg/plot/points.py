r"""Cells as dots."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from stofm_pyg.plot.checks import check_length, check_numbers
from stofm_pyg.plot.colors import UNKNOWN

# More dots than this are pixels in a pdf or svg, which no viewer would open else.
MAX_VECTORS = 5000


def draw_classes(
    ax: Axes,
    pos: np.ndarray,
    values: np.ndarray,
    colors: np.ndarray,
    title: str | None = None,
    size: float | None = None,
):
    r"""Draws cells in the colours :math:`(C, 4)` of their class numbers :math:`(N)`; those of no class
    are small and grey."""
    check_numbers(pos, values, len(colors))
    size = default_size(ax, pos) if size is None else size
    known = values >= 0
    if not known.all():
        draw_points(ax, pos[~known], 0.5 * size, color=UNKNOWN, zorder=1)
    draw_points(ax, pos[known], size, c=colors[values[known]], zorder=2)
    tissue_axes(ax, title)


def draw_numbers(
    ax: Axes,
    pos: np.ndarray,
    values: np.ndarray,
    title: str | None = None,
    size: float | None = None,
    **style,
) -> PathCollection:
    r"""Draws cells in the colours of a scale; those without a number (NaN) are small and grey."""
    check_length(pos, values)
    size = default_size(ax, pos) if size is None else size
    known = np.isfinite(values)
    if not known.all():
        draw_points(ax, pos[~known], 0.5 * size, color=UNKNOWN, zorder=1)
    style = {"cmap": "viridis", "zorder": 2, **style}
    cells = draw_points(ax, pos[known], size, c=values[known], **style)
    tissue_axes(ax, title)
    return cells


def draw_points(ax: Axes, pos: np.ndarray, size: float, **style) -> PathCollection:
    r"""Draws dots of an area in points squared."""
    return ax.scatter(*pos.T, s=size, linewidths=0, rasterized=len(pos) > MAX_VECTORS, **style)


def default_size(ax: Axes, pos: np.ndarray) -> float:
    r"""Returns an area of dots: two thirds of what one cell has, if the cells fill their box."""
    box = ax.get_window_extent()
    panel = np.array([box.width, box.height]) * 72 / ax.figure.dpi
    extent = np.maximum(np.ptp(pos, axis=0), 1e-12) if len(pos) else np.ones(2)
    points = extent * (panel / extent).min()
    return float(np.clip(0.65 * points.prod() / max(len(pos), 1), 0.3, 40))


def tissue_axes(ax: Axes, title: str | None = None):
    r"""Gives both axes the same scale, and neither ticks nor a frame."""
    ax.set_aspect("equal", anchor="N")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=10)


def dot(label: str, color, marker: str = "o") -> Line2D:
    r"""Returns an entry of a legend."""
    style = {"marker": marker, "linestyle": "", "markersize": 6, "markeredgewidth": 0}
    return Line2D([], [], color=color, label=label, **style)
