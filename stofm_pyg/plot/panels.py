r"""A panel for each slice, and a legend beside them."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.colors import UNKNOWN
from stofm_pyg.plot.piece import Piece
from stofm_pyg.plot.points import dot

# Inches.
PANEL_WIDTH, TITLE_HEIGHT, LETTER_WIDTH, MIN_HEIGHT = 3.4, 0.6, 0.085, 2.0
MAX_TALLNESS = 1.5
LEGEND_ROWS = 16
LEGEND_STYLE = {"frameon": False, "fontsize": 9, "handletextpad": 0.3, "columnspacing": 1.0}


def make_panels(
    rows: Sequence[Sequence[Piece]], columns: int, classes: Sequence[str]
) -> tuple[Figure, np.ndarray]:
    r"""Returns a figure whose rows are as tall as their slices, with room for a legend, and its axes.

    Args:
        rows (sequence of sequence of Piece): The slices in each row.
        columns (int): The number of panels in a row.
        classes (sequence of str): What the legend will name.
    """
    heights, narrow = [], 1.0 / MAX_TALLNESS
    for pieces in rows:
        extents = [np.ptp(piece.pos, axis=0) for piece in pieces if len(piece.pos)]
        ratios = [y / x for x, y in extents if x > 0] or [1.0]
        heights.append(PANEL_WIDTH * float(np.clip(max(ratios), 0.3, MAX_TALLNESS)) + TITLE_HEIGHT)
        narrow = max(narrow, min(1.0, MAX_TALLNESS / min(ratios)))
    height = max(sum(heights), MIN_HEIGHT)
    legend_columns = math.ceil((len(classes) + 2) / _legend_rows(height))
    longest = max([len(shortened(name, 24)) for name in classes] + [len("unknown")])
    width = PANEL_WIDTH * narrow * columns + (0.45 + LETTER_WIDTH * longest) * legend_columns
    figure = Figure(figsize=(width, height), layout="constrained")
    ratios = {"height_ratios": heights}
    return figure, figure.subplots(len(rows), columns, squeeze=False, gridspec_kw=ratios)


def panel_grid(pieces: Sequence[Piece], classes: Sequence[str]) -> tuple[Figure, list]:
    r"""Returns a figure with one panel for each slice, and their axes in order."""
    columns = min(len(pieces), max(3, math.ceil(math.sqrt(len(pieces)))))
    rows = [pieces[start : start + columns] for start in range(0, len(pieces), columns)]
    figure, axes = make_panels(rows, columns, classes)
    for ax in axes.flat[len(pieces) :]:
        ax.remove()
    return figure, list(axes.flat[: len(pieces)])


def legend_handles(classes: Sequence[str], colors: np.ndarray, unknown: bool) -> list[Line2D]:
    r"""Returns the entries of a legend of classes."""
    handles = [dot(shortened(name, 24), color) for name, color in zip(classes, colors, strict=True)]
    return handles + ([dot("unknown", UNKNOWN)] if unknown else [])


def figure_legend(figure: Figure, handles: Sequence[Line2D], title: str | None = None):
    r"""Puts a legend to the right of all panels."""
    columns = math.ceil(len(handles) / _legend_rows(figure.get_size_inches()[1]))
    figure.legend(
        handles=handles, ncols=columns, loc="outside right upper", title=title, **LEGEND_STYLE
    )


def _legend_rows(height: float) -> int:
    return max(1, int(height / 0.22))
