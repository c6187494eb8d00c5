import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from stofm_pyg._files import write_atomically
from stofm_pyg.data import Keys
from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.colors import UNKNOWN, colors_of
from stofm_pyg.plot.piece import Piece, Slices, default_key, read_pieces

# Of more cells, a file would be too large for a browser.
MAX_CELLS = 500_000
SIDE, MAX_TALLNESS = 640, 1.5


def write_html(
    slices: Slices,
    path: str | os.PathLike,
    *,
    key: str | Sequence[str] | None = None,
    colors: Mapping[str, Any] | None = None,
    **where,
) -> Path:
    r"""Writes slices as a page to zoom and hover in: a name is told where the mouse is over a cell, and
    a click in the legend hides a class. The page needs no network and no other file.

    Args:
        slices (AnnData, str, PathLike, Data, or sequence of Data or dict): The slices, see
            :meth:`plot_domains`.
        path (str or PathLike): The page (:obj:`.html`) in an existing folder.
        key (str or sequence of str, optional): The classes, as in :meth:`plot_domains`; the first ones
            colour the cells, the others are told of the cell under the mouse. (default: :obj:`None`)
        colors (dict, optional): Colours by name of a class, see there. (default: :obj:`None`)
        **where (optional): See there.

    Returns:
        The path.

    Raises:
        FileNotFoundError: There is no such folder.
        ImportError: The package :obj:`bokeh` is missing.
        ValueError: Nothing to draw, too many cells for a browser, or a key is missing.
    """
    path = _html_path(path)
    given = list(key) if isinstance(key, (list, tuple)) else [default_key(slices, key, Keys.DOMAIN)]
    pieces = read_pieces(slices, given, **where)
    num_cells = sum(len(piece.pos) for piece in pieces)
    if num_cells > MAX_CELLS:
        raise ValueError(
            f"{num_cells:,} cells are too many for a browser (at most {MAX_CELLS:,}); pass some of the "
            f"slices, or a part of the cells"
        )
    try:
        from bokeh.embed import file_html
        from bokeh.layouts import column, row
        from bokeh.resources import INLINE
    except ImportError as error:
        raise ImportError(
            "A page needs the package 'bokeh': 'pip install \"stofm-pyg[html]\"'"
        ) from error

    palette = colors_of(pieces[0].classes[given[0]], colors or pieces[0].colors.get(given[0]))
    figures = [_figure(piece, given, palette) for piece in pieces]
    columns = int(np.ceil(np.sqrt(len(figures))))
    rows = [row(*figures[start : start + columns]) for start in range(0, len(figures), columns)]
    title = ", ".join(shortened(piece.name) for piece in pieces if piece.name) or "Slices"
    page = file_html(column(*rows), INLINE, shortened(title, 100))
    write_atomically(path, lambda part: part.write_text(page, encoding="utf-8"))
    return path


def _html_path(path: str | os.PathLike) -> Path:
    path = Path(path).expanduser()
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"'{path}' does not end in .html; give it that")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder '{path.parent}' for the page '{path.name}'; create it first"
        )
    return path


def _figure(piece: Piece, keys: Sequence[str | None], palette: np.ndarray):
    from bokeh.models import ColumnDataSource, HoverTool, Legend, LegendItem
    from bokeh.plotting import figure

    width, height = np.ptp(piece.pos, axis=0) if len(piece.pos) else (1.0, 1.0)
    tallness = float(np.clip(height / width if width > 0 else 1.0, 1 / MAX_TALLNESS, MAX_TALLNESS))
    plot = figure(
        title=shortened(piece.name) if piece.name else None, width=SIDE, height=round(SIDE * tallness),
        match_aspect=True, tools="pan,wheel_zoom,box_zoom,reset,save", active_scroll="wheel_zoom",
        output_backend="webgl",
    )  # fmt: skip
    plot.grid.visible = False
    plot.toolbar.logo = None  # A link to another page.
    unit = piece.length.name if piece.length is not None else ""
    factor = piece.length.value if piece.length is not None else 1.0
    plot.xaxis.axis_label = unit
    # As large as a cell on the screen at first, and larger where one zooms in.
    size = float(np.clip(0.35 * SIDE / max(len(piece.pos), 1) ** 0.5, 1.5, 9))
    codes, names = piece.values[keys[0]], piece.classes[keys[0]]
    shown, items = [], []
    for number in [*range(len(names)), -1]:
        rows = np.flatnonzero(codes == number)
        if len(rows) == 0:
            continue
        data = {"x": piece.pos[rows, 0] * factor, "y": piece.pos[rows, 1] * factor, "cell": rows}
        for place, key in enumerate(keys):
            told = np.append(np.array(piece.classes[key], dtype=object), "unknown")
            data[f"class{place}"] = told[piece.values[key][rows]].tolist()
        color = to_hex(palette[number]) if number >= 0 else UNKNOWN
        dots = plot.scatter("x", "y", source=ColumnDataSource(data), size=size, color=color)
        shown.append(dots)
        items.append(LegendItem(label=shortened(names[number] if number >= 0 else "unknown", 24),
                                renderers=[dots]))  # fmt: skip
    told = [("cell", "@cell")]
    told += [(str(key or "class"), f"@class{place}") for place, key in enumerate(keys)]
    plot.add_tools(HoverTool(tooltips=told, renderers=shown))
    legend = Legend(items=items, click_policy="hide", label_text_font_size="9pt", border_line_color=None)
    plot.add_layout(legend, "right")
    return plot
