import os

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.plot.checks import as_array, shortened
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import read_pieces
from stofm_pyg.plot.placed import Source, placed_slices, settings_of
from stofm_pyg.plot.points import draw_points, tissue_axes
from stofm_pyg.plot.scale_bar import add_scale_bar

CELL, EDGE, CENTER = "#333333", "#9AA5AD", "#D55E00"


def plot_graph(
    data: Source,
    path: str | os.PathLike | None = None,
    *,
    cell: int | None = None,
    width: float | None = None,
    **changes,
) -> Figure:
    r"""Draws the spatial graph in a window around a cell, whose own edges have the colours of their
    lengths.

    Args:
        data (AnnData, str, PathLike, or Data): One slice.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        cell (int, optional): The cell in the middle, as a row of the slice; without, the one nearest to
            the middle of the slice. (default: :obj:`None`)
        width (float, optional): The width of the window, in the unit of the positions; without, two and
            a half times the longest edge. (default: :obj:`None`)
        **changes (optional): Values of :class:`~stofm_pyg.data.SliceSettings` for an AnnData.

    Returns:
        The figure.

    Raises:
        ValueError: There are several slices, no edges, or no such cell.
    """
    path = picture_path(path)
    slices = placed_slices(data, **changes)
    if len(slices) != 1:
        raise ValueError(
            f"A window is of one slice (got {len(slices)}: {[data.get('name') for data in slices]}); "
            f"pass one of them"
        )
    (data,) = slices
    (piece,) = read_pieces(slices, [])
    edges = as_array(data.edge_index)
    is_cell = as_array(cell_mask(data))
    rows = np.cumsum(is_cell) - 1
    edges = rows[edges[:, is_cell[edges].all(axis=0) & (edges[0] < edges[1])]]
    if edges.shape[1] == 0:
        raise ValueError("The graph has no edge between cells; make it with a larger 'radius'")
    pos, num_cells = piece.pos, len(piece.pos)
    if cell is None:
        cell = int(np.linalg.norm(pos - np.median(pos, axis=0), axis=1).argmin())
    if not 0 <= cell < num_cells:
        raise ValueError(f"There is no cell {cell}; the slice has the cells 0 to {num_cells - 1}")
    length = np.linalg.norm(pos[edges[0]] - pos[edges[1]], axis=1)
    width = 2.5 * float(length.max()) if width is None else width
    if not 0 < width < float("inf"):
        raise ValueError(f"'width' must be positive and finite (got {width})")

    inside = (np.abs(pos - pos[cell]) <= width / 2).all(axis=1)
    own = (edges == cell).any(axis=0)
    other = inside[edges].all(axis=0) & ~own
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    ax = figure.subplots()
    lines = pos[edges[:, other].T]
    thin = float(np.clip(60 * inside.sum() / max(len(lines), 1) / 8, 0.15, 1.0))
    ax.add_collection(
        LineCollection(lines, colors=EDGE, lw=0.6, alpha=thin, zorder=1, rasterized=len(lines) > 5000)
    )
    rays = LineCollection(pos[edges[:, own].T], cmap="viridis_r", lw=1.3, zorder=2, clip_on=True)
    rays.set_array(length[own])
    rays.set_clim(0, float(length.max()))
    ax.add_collection(rays)
    draw_points(ax, pos[inside], _size(inside.sum()), color=CELL, zorder=3)
    draw_points(ax, pos[[cell]], 3 * _size(inside.sum()), color=CENTER, zorder=4)
    radius = settings_of(data).radius if data.get("settings") else None
    if radius is not None and radius <= width / 2:
        ax.add_patch(Circle(pos[cell], radius, fill=False, ls="--", lw=1, ec=CENTER, zorder=4))
    told = f"{int(own.sum())} neighbours of cell {cell:,}"
    tissue_axes(ax, f"{shortened(piece.name)}: {told}" if piece.name else told)
    add_scale_bar(ax, pos[inside], piece.length)
    unit = _told_unit(data.get("unit"))
    figure.colorbar(rays, ax=ax, shrink=0.7, label=f"length of an edge{unit}")
    return save_picture(figure, path)


def _size(num_cells: int) -> float:
    return float(np.clip(4000 / max(num_cells, 1), 4, 30))


def _told_unit(unit: str | None) -> str:
    names = {"micron": " (µm)", "spacing": " (cell spacings)", "official": " (official unit)"}
    return names.get(unit, "")
