import os

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from stofm_pyg.nn import NodeType
from stofm_pyg.nn.node_type import node_types
from stofm_pyg.plot.checks import as_array, shortened
from stofm_pyg.plot.colors import UNKNOWN, class_colors
from stofm_pyg.plot.panels import panel_grid
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import read_pieces
from stofm_pyg.plot.placed import Source, as_slices
from stofm_pyg.plot.points import draw_classes
from stofm_pyg.plot.scale_bar import add_scale_bar

# Areas of virtual cells in points squared: the smallest, and that of half the cells of a slice.
AREA = (12.0, 240.0)
# How much of the colour of a cell is white, so that virtual cells stand out.
PALE = 0.5


def plot_virtual_cells(
    slices: Source,
    path: str | os.PathLike | None = None,
    *,
    clusters: list[int] | None = None,
    **changes,
) -> Figure:
    r"""Draws virtual cells, each in the middle of the cells that it is the mean of and tied to them by
    lines in its colour; its area grows with their number.

    Args:
        slices (AnnData, str, PathLike, Data or sequence of Data): The slices; an AnnData is converted,
            with principal components as features.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        clusters (list[int], optional): The numbers of the virtual cells to draw; other cells are grey.
            All without. (default: :obj:`None`)
        **changes (optional): Values of :class:`~stofm_pyg.data.SliceSettings` for an AnnData.

    Returns:
        The figure.

    Raises:
        ValueError: A slice has no virtual cells, or not those.
    """
    path = picture_path(path)
    slices = as_slices(slices, **changes)
    pieces = read_pieces(slices, [])
    figure, axes = panel_grid(pieces, [])
    for ax, data, piece in zip(axes, slices, pieces, strict=True):
        kind = as_array(node_types(data))
        virtual = np.flatnonzero(kind == NodeType.VIRTUAL)
        if len(virtual) == 0 or data.get("cluster") is None:
            raise ValueError(
                f"Slice {piece.name!r} has no virtual cells; apply 'AddVirtualCells', or convert it "
                f"with 'virtual_cells=True'"
            )
        of_node = as_array(data.cluster)
        number, cluster = of_node[virtual], of_node[kind == NodeType.CELL]
        shown = np.arange(len(virtual))
        if clusters is not None:
            strange = sorted(set(clusters) - set(number.tolist()))
            if strange:
                raise ValueError(
                    f"Slice {piece.name!r} has no virtual cell {strange[0]}, but 0 to {number.max()}"
                )
            shown = np.flatnonzero(np.isin(number, clusters))
        at = as_array(data.pos)[virtual]
        colors = class_colors(int(number.max()) + 1)
        drawn = np.where(np.isin(cluster, number[shown]), cluster, -1)
        title = f"{len(shown)} virtual cells of {int((drawn >= 0).sum()):,} cells"
        title = f"{shortened(piece.name)}: {title}" if piece.name else title
        draw_classes(ax, piece.pos, drawn, PALE + (1 - PALE) * colors, title)
        place = np.full(int(number.max()) + 2, -1)
        place[number] = np.arange(len(number))
        rows = np.flatnonzero(drawn >= 0)
        ends = np.stack([piece.pos[rows], at[place[cluster[rows]]]], axis=1)
        many = len(rows) > 5000
        spokes = LineCollection(ends, colors=colors[cluster[rows]], lw=0.3, alpha=0.35, rasterized=many)
        ax.add_collection(spokes)
        share = np.bincount(cluster, minlength=len(colors))[number[shown]] / max(len(cluster), 1)
        ax.scatter(
            *at[shown].T, s=AREA[0] + (AREA[1] - AREA[0]) * 2 * share, c=colors[number[shown]],
            edgecolors="black", linewidths=0.9, zorder=4,
        )  # fmt: skip
        ax.scatter(*at[shown].T, s=3, c=UNKNOWN, zorder=5, linewidths=0)
        add_scale_bar(ax, piece.pos, piece.length)
    return save_picture(figure, path)
