r"""Checks, panels, colours and legends of the pictures in :obj:`stofm_pyg.plot`."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import hsv_to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stofm_pyg._files import write_atomically

#: Colours that colour-blind readers can tell apart (Okabe and Ito 2008), darkest contrasts first.
OKABE_ITO = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00"),
    *("#CC79A7", "#56B4E9", "#F0E442", "#000000"),
)
UNKNOWN = "#D9D9D9"
# Inches.
PANEL_WIDTH, TITLE_HEIGHT, LETTER_WIDTH, MIN_HEIGHT = 3.4, 0.35, 0.085, 2.0
MAX_PIXELS = 30_000
LEGEND_ROWS = 16
LEGEND_STYLE = {"frameon": False, "fontsize": 9, "handletextpad": 0.3, "columnspacing": 1.0}


def class_colors(num_classes: int) -> np.ndarray:
    r"""Returns one RGBA colour per class: of Okabe and Ito for up to 8 classes, of matplotlib's
    tab20 without its greys for up to 18, else spread over the hues.

    Args:
        num_classes (int): Number of classes.

    Returns:
        Array of shape :obj:`[num_classes, 4]`.
    """
    if num_classes <= len(OKABE_ITO):
        colors = [to_rgba(color) for color in OKABE_ITO[:num_classes]]
        return np.array(colors).reshape(num_classes, 4)
    tab20 = matplotlib.colormaps["tab20"](np.arange(20))
    # Strong colours first, then their pale twins; grey is kept for what is unknown.
    tab = tab20[[i for start in (0, 1) for i in range(start, 20, 2) if i not in (14, 15)]]
    if num_classes <= len(tab):
        return tab[:num_classes]
    number = np.arange(num_classes)
    saturation = np.array([0.95, 0.55, 0.8])[number % 3]
    value = np.array([0.85, 0.95, 0.55])[number % 3]
    rgb = hsv_to_rgb(np.stack([0.94 * number / num_classes, saturation, value], axis=1))
    return np.concatenate([rgb, np.ones((num_classes, 1))], axis=1)


def as_array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def checked_positions(pos: Any, where: str = "") -> np.ndarray:
    pos = as_array(pos)
    if pos.ndim != 2 or pos.shape[1] != 2:
        raise ValueError(f"Positions{where} have shape {pos.shape}; pass x and y of each cell")
    if not np.isfinite(pos).all():
        row = int(np.flatnonzero(~np.isfinite(pos).all(axis=1))[0])
        raise ValueError(f"The position of cell {row}{where} is {pos[row]}; leave such cells out")
    return pos


def check_numbers(pos: np.ndarray, values: np.ndarray, num_classes: int, where: str = "") -> None:
    if values.shape != (len(pos),):
        raise ValueError(
            f"There are values{where} of shape {values.shape} for {len(pos)} cells; pass one for "
            f"each cell"
        )
    if not np.issubdtype(values.dtype, np.integer) and values.size:
        raise ValueError(
            f"Class numbers{where} are of type {values.dtype}; pass whole numbers, -1 where "
            f"unknown, as 'adata.obs[key].cat.codes' has them"
        )
    if values.max(initial=-1) >= num_classes or values.min(initial=0) < -1:
        worst = values.max() if values.max() >= num_classes else values.min()
        raise ValueError(
            f"Class number {worst}{where} is not one of {num_classes} classes; pass 0 to "
            f"{num_classes - 1}, and -1 where unknown"
        )


def checked_slices(slices: Sequence[Mapping[str, Any]], *keys: str) -> list[dict[str, Any]]:
    if not slices:
        raise ValueError("There is no slice to draw; pass at least one")
    pieces = []
    for number, given in enumerate(slices):
        missing = [key for key in ("name", "pos", "classes", *keys) if key not in given]
        if missing:
            raise ValueError(
                f"Slice {number} has no {missing[0]!r} but {sorted(given)}; add it to the dict"
            )
        where = f" of slice {given['name']!r}"
        piece = {
            **given,
            "pos": checked_positions(given["pos"], where),
            "classes": list(given["classes"]),
        }
        if piece["classes"] != list(slices[0]["classes"]):
            raise ValueError(
                f"Classes{where} are {piece['classes']}, of the first {slices[0]['classes']}; give "
                f"all slices the same, for they share the colours"
            )
        for key in keys:
            piece[key] = as_array(given[key])
            check_numbers(piece["pos"], piece[key], len(piece["classes"]), f" in {key!r}{where}")
        pieces.append(piece)
    return pieces


def make_panels(
    rows: Sequence[Sequence[Mapping[str, Any]]], columns: int
) -> tuple[Figure, np.ndarray, np.ndarray]:
    """Returns a figure whose rows are as tall as their slices, its axes, and the class colours."""
    heights = []
    for pieces in rows:
        extents = [np.ptp(piece["pos"], axis=0) for piece in pieces if len(piece["pos"])]
        tallness = max((y / x for x, y in extents if x > 0), default=1.0)
        heights.append(PANEL_WIDTH * float(np.clip(tallness, 0.3, 1.5)) + TITLE_HEIGHT)
    height = max(sum(heights), MIN_HEIGHT)
    classes = rows[0][0]["classes"]
    legend_columns = math.ceil((len(classes) + 2) / _legend_rows(height))
    longest = max([len(shortened(name, 24)) for name in classes] + [len("unknown")])
    width = PANEL_WIDTH * columns + (0.45 + LETTER_WIDTH * longest) * legend_columns
    figure = Figure(figsize=(width, height), layout="constrained")
    ratios = {"height_ratios": heights}
    axes = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw=ratios)
    return figure, axes, class_colors(len(classes))


def _legend_rows(height: float) -> int:
    return max(1, int(height / 0.22))


def _default_size(ax: Axes, pos: np.ndarray) -> float:
    # Two thirds of the area that one cell has, if the cells fill their bounding box.
    box = ax.get_window_extent()
    panel = np.array([box.width, box.height]) * 72 / ax.figure.dpi
    extent = np.maximum(np.ptp(pos, axis=0), 1e-12) if len(pos) else np.ones(2)
    points = extent * (panel / extent).min()
    return float(np.clip(0.65 * points.prod() / max(len(pos), 1), 0.3, 40))


def _prepare(ax: Axes, title: str | None) -> None:
    ax.set_aspect("equal", anchor="N")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=10)


def _draw(ax: Axes, pos: np.ndarray, size: float, **style) -> PathCollection:
    # Many dots as vectors would make a pdf or svg that no viewer opens.
    return ax.scatter(*pos.T, s=size, linewidths=0, rasterized=len(pos) > 5000, **style)


def draw_classes(
    ax: Axes,
    pos: np.ndarray,
    values: np.ndarray,
    colors: np.ndarray,
    title: str | None = None,
    size: float | None = None,
) -> None:
    check_numbers(pos, values, len(colors))
    size = _default_size(ax, pos) if size is None else size
    known = values >= 0
    if not known.all():
        _draw(ax, pos[~known], 0.5 * size, color=UNKNOWN, zorder=1)
    _draw(ax, pos[known], size, c=colors[values[known]], zorder=2)
    _prepare(ax, title)


def draw_numbers(
    ax: Axes, pos: np.ndarray, values: np.ndarray, title: str | None, size: float | None
) -> PathCollection:
    if values.shape != (len(pos),):
        raise ValueError(
            f"There are values of shape {values.shape} for {len(pos)} cells; pass one for each cell"
        )
    size = _default_size(ax, pos) if size is None else size
    known = np.isfinite(values)
    if not known.all():
        _draw(ax, pos[~known], 0.5 * size, color=UNKNOWN, zorder=1)
    cells = _draw(ax, pos[known], size, c=values[known], cmap="viridis", zorder=2)
    _prepare(ax, title)
    return cells


def dot(label: str, color) -> Line2D:
    style = {"marker": "o", "linestyle": "", "markersize": 6, "markeredgewidth": 0}
    return Line2D([], [], color=color, label=label, **style)


def legend_handles(classes: Sequence[str], unknown: bool) -> list[Line2D]:
    colors = class_colors(len(classes))
    handles = [dot(shortened(name, 24), color) for name, color in zip(classes, colors, strict=True)]
    return handles + ([dot("unknown", UNKNOWN)] if unknown else [])


def figure_legend(
    figure: Figure, classes: Sequence[str], unknown: bool, extra: Sequence[Line2D] = ()
) -> None:
    handles = [*legend_handles(classes, unknown), *extra]
    columns = math.ceil(len(handles) / _legend_rows(figure.get_size_inches()[1]))
    figure.legend(handles=handles, ncols=columns, loc="outside right upper", **LEGEND_STYLE)


def shortened(name: Any, length: int = 32) -> str:
    name = str(name)
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def picture_path(path: str | os.PathLike) -> Path:
    path = Path(path).expanduser()
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"'{path}' does not end in .png, .pdf or .svg; give it one of these")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{path.parent}' for the picture '{path.name}'; create it first"
        )
    return path


def save_picture(figure: Figure, path: Path) -> None:
    dpi = min(150.0, MAX_PIXELS / max(figure.get_size_inches()))
    options = {
        "format": path.suffix[1:].lower(),
        "dpi": dpi,
        "bbox_inches": "tight",
        "pad_inches": 0.1,
    }
    write_atomically(path, lambda part: figure.savefig(part, **options))
