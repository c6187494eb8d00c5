r"""Pictures of slices and of what was predicted on them, drawn without pyplot and its state."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from stofm_pyg._plot_panels import (
    LEGEND_ROWS,
    LEGEND_STYLE,
    as_array,
    checked_positions,
    checked_slices,
    class_colors,
    dot,
    draw_classes,
    draw_numbers,
    figure_legend,
    legend_handles,
    make_panels,
    picture_path,
    save_picture,
    shortened,
)

__all__ = [
    "class_colors",
    "plot_confusion",
    "plot_domains",
    "plot_slice",
    "plot_truth_and_prediction",
]

RIGHT, WRONG = "#C6D3DC", "#D62728"


def plot_slice(
    pos: Any,
    values: Any,
    *,
    classes: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    size: float | None = None,
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
    if classes is None and np.issubdtype(values.dtype, np.floating):
        cells = draw_numbers(ax, pos, values, title, size)
        ax.figure.colorbar(cells, ax=ax, shrink=0.7)
        return ax
    classes = () if classes is None else classes
    draw_classes(ax, pos, values, class_colors(len(classes)), title, size)
    handles = legend_handles(classes, unknown=bool((values < 0).any()))
    if handles:
        columns = math.ceil(len(handles) / LEGEND_ROWS)
        ax.legend(
            handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=(1, 1), **LEGEND_STYLE
        )
    return ax


def plot_truth_and_prediction(slices: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    r"""Draws a row for each slice: the truth, the prediction in the same colours, and the errors.

    Args:
        slices (sequence of dict): For each slice :obj:`name`, :obj:`pos` :math:`(N, 2)`,
            :obj:`truth` and :obj:`prediction` :math:`(N)` (class numbers, -1 where unknown or not
            predicted), and :obj:`classes`, the names of the classes.
        path (str or PathLike): The picture (png, pdf or svg) in an existing folder.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Nothing to draw, a key is missing, or its values do not fit.
    """
    path = picture_path(path)
    pieces = checked_slices(slices, "truth", "prediction")
    figure, axes, colors = make_panels([[piece] for piece in pieces], columns=3)
    for row, piece in zip(axes, pieces, strict=True):
        truth, prediction = piece["truth"], piece["prediction"]
        scored = (truth >= 0) & (prediction >= 0)
        wrong = scored & (truth != prediction)
        name = shortened(piece["name"])
        draw_classes(row[0], piece["pos"], truth, colors, f"{name}: truth")
        draw_classes(row[1], piece["pos"], prediction, colors, "prediction")
        share = f"{wrong.sum() / scored.sum():.1%}" if scored.any() else "none scored"
        outcome = np.where(scored, wrong.astype(int), -1)
        order = np.argsort(outcome, kind="stable")  # Errors lie on top.
        marks = np.array([to_rgba(RIGHT), to_rgba(WRONG)])
        draw_classes(row[2], piece["pos"][order], outcome[order], marks, f"errors: {share}")
    unknown = any((piece[key] < 0).any() for piece in pieces for key in ("truth", "prediction"))
    figure_legend(figure, pieces[0]["classes"], unknown, extra=[dot("error", WRONG)])
    save_picture(figure, path)


def plot_domains(slices: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    r"""Draws the predicted domains on the tissue, one panel per slice.

    Args:
        slices (sequence of dict): As in :meth:`plot_truth_and_prediction`; :obj:`truth` is not
            needed.
        path (str or PathLike): The picture (png, pdf or svg) in an existing folder.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Nothing to draw, a key is missing, or its values do not fit.
    """
    path = picture_path(path)
    pieces = checked_slices(slices, "prediction")
    columns = min(len(pieces), max(3, math.ceil(math.sqrt(len(pieces)))))
    rows = [pieces[start : start + columns] for start in range(0, len(pieces), columns)]
    figure, axes, colors = make_panels(rows, columns=columns)
    for ax, piece in zip(axes.flat, pieces, strict=False):
        draw_classes(ax, piece["pos"], piece["prediction"], colors, shortened(piece["name"]))
    for ax in axes.flat[len(pieces) :]:
        ax.remove()
    unknown = any((piece["prediction"] < 0).any() for piece in pieces)
    figure_legend(figure, pieces[0]["classes"], unknown)
    save_picture(figure, path)


def plot_confusion(matrix: Any, classes: Sequence[str], path: str | os.PathLike) -> None:
    r"""Draws a confusion matrix as shares of the cells of each true class.

    Args:
        matrix (array or Tensor): Numbers of cells :math:`(C, C)`, rows are the truth.
        classes (sequence of str): Names of the classes.
        path (str or PathLike): The picture (png, pdf or svg) in an existing folder.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The matrix is not one of numbers of cells of these classes.
    """
    path = picture_path(path)
    matrix, names = as_array(matrix).astype(float), [shortened(name, 24) for name in classes]
    if matrix.shape != (len(names), len(names)) or not names:
        raise ValueError(
            f"The confusion matrix has shape {matrix.shape} for {len(names)} classes; pass one row "
            f"and one column for each class"
        )
    if not (np.isfinite(matrix) & (matrix >= 0)).all():
        worst = matrix[~(np.isfinite(matrix) & (matrix >= 0))][0]
        raise ValueError(f"The confusion matrix holds {worst}; pass numbers of cells, 0 or more")
    total = matrix.sum(axis=1)
    share = np.divide(matrix, total[:, None], out=np.zeros_like(matrix), where=total[:, None] > 0)

    side = 0.5 * len(names)
    figure = Figure(figsize=(side + 3.4, side + 1.3), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*share.shape):
        text = f"{share[i, j]:.2f}" if total[i] else "–"
        color = "white" if share[i, j] > 0.55 else "#BBBBBB" if share[i, j] < 0.005 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    counted = [f"{name} ({count:,.0f})" for name, count in zip(names, total, strict=True)]
    ax.set_yticks(range(len(names)), counted)
    ax.tick_params(length=0, labelsize=9)
    ax.set(xlabel="predicted", ylabel="true (number of cells)")
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, shrink=0.8, aspect=25, fraction=0.04, label="share of the true class")
    save_picture(figure, path)
