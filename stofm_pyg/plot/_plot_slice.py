import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stofm_pyg.plot.checks import as_array, checked_positions
from stofm_pyg.plot.colors import colors_of
from stofm_pyg.plot.panels import LEGEND_ROWS, LEGEND_STYLE, legend_handles
from stofm_pyg.plot.points import draw_classes, draw_numbers
from stofm_pyg.plot.scale_bar import add_scale_bar, unit_length


def plot_slice(
    pos: Any,
    values: Any,
    *,
    classes: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    size: float | None = None,
    unit: str | None = None,
    microns_per_unit: float | None = None,
) -> Axes:
    r"""Draws the cells of a slice in the colours of their classes or by a number.

    Axes have the same scale and the direction of :obj:`pos`. Cells without a class (-1) or number
    (NaN) are small and grey.

    Args:
        pos (array or Tensor): Positions :math:`(N, 2)`.
        values (array or Tensor): Class numbers :math:`(N)`, -1 where unknown, or floating-point
            numbers :math:`(N)`.
        classes (sequence of str, optional): Names of the classes. If :obj:`None`, whole numbers
            name themselves. (default: :obj:`None`)
        ax (Axes, optional): Where to draw. If :obj:`None`, on a new figure, which is
            :obj:`ax.figure` of what is returned. (default: :obj:`None`)
        title (str, optional): The title. (default: :obj:`None`)
        size (float, optional): Area of a cell in points squared. If :obj:`None`, it follows from
            the number of cells and the size of the axes. (default: :obj:`None`)
        unit (str, optional): The unit of positions, as :obj:`data.unit` has it, for a scale bar.
            (default: :obj:`None`)
        microns_per_unit (float, optional): The length of the unit, for a scale bar.
            (default: :obj:`None`)

    Raises:
        ValueError: Positions or values do not fit one another or the classes.

    Example:
        >>> ax = plot_slice(data.pos, data.domain, classes=data.classes["domain"])
        >>> ax.figure.savefig("slice.png")
    """
    pos, values = checked_positions(pos), as_array(values)
    if ax is None:
        ax = Figure(figsize=(5.5, 4.5), layout="constrained").subplots()
    if values.dtype == bool:
        values = values.astype(int)
    if classes is None and np.issubdtype(values.dtype, np.integer):
        classes = [str(number) for number in range(int(values.max(initial=-1)) + 1)]
    told = unit is not None or microns_per_unit is not None  # What is no tissue has no scale bar.
    length = unit_length(pos, unit, microns_per_unit) if told else None
    if classes is None and np.issubdtype(values.dtype, np.floating):
        cells = draw_numbers(ax, pos, values, title, size)
        ax.figure.colorbar(cells, ax=ax, shrink=0.7)
        add_scale_bar(ax, pos, length)
        return ax
    classes = () if classes is None else classes
    colors = colors_of(classes)
    draw_classes(ax, pos, values, colors, title, size)
    add_scale_bar(ax, pos, length)
    handles = legend_handles(classes, colors, unknown=bool((values < 0).any()))
    if handles:
        columns = math.ceil(len(handles) / LEGEND_ROWS)
        ax.legend(
            handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=(1, 1), **LEGEND_STYLE
        )
    return ax
