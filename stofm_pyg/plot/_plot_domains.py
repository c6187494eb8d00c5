import os
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from stofm_pyg.data import Keys
from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.colors import colors_of
from stofm_pyg.plot.panels import figure_legend, legend_handles, panel_grid
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import Slices, default_key, read_pieces
from stofm_pyg.plot.points import draw_classes
from stofm_pyg.plot.scale_bar import add_scale_bar


def plot_domains(
    slices: Slices,
    path: str | os.PathLike | None = None,
    *,
    key: str | None = None,
    colors: Mapping[str, Any] | None = None,
    **where,
) -> Figure:
    r"""Draws domains, or any other classes of cells, on the tissue, one panel per slice.

    Args:
        slices (AnnData, str, PathLike, Data, or sequence of Data or dict): The slices: an AnnData or its
            file; slices; or for each a dict with :obj:`name`, :obj:`pos` :math:`(N, 2)`,
            :obj:`prediction` :math:`(N)` (class numbers, -1 where unknown), and :obj:`classes`, the
            names of the classes.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        key (str, optional): The classes: a column of :obj:`adata.obs` (:obj:`"stofm_domain"` without),
            or a key of the slices (their only label without). (default: :obj:`None`)
        colors (dict, optional): Colours by name of a class; those of :obj:`adata.uns` without, where it
            has some, as scanpy keeps them. (default: :obj:`None`)
        **where (optional): :obj:`slice_key`, :obj:`spatial_key` and :obj:`microns_per_unit` of an
            AnnData, see :class:`~stofm_pyg.data.SliceSettings`.

    Returns:
        The figure.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Nothing to draw, a key is missing, or its values do not fit.

    Example:
        >>> model.domains(adata)
        >>> plot_domains(adata, "domains.png")
    """
    path = picture_path(path)
    key = default_key(slices, key, Keys.DOMAIN)
    pieces = read_pieces(slices, [key], **where)
    classes = pieces[0].classes[key]
    colors = colors_of(classes, colors or pieces[0].colors.get(key))
    figure, axes = panel_grid(pieces, classes)
    for ax, piece in zip(axes, pieces, strict=True):
        draw_classes(ax, piece.pos, piece.values[key], colors, shortened(piece.name))
        add_scale_bar(ax, piece.pos, piece.length)
    unknown = any((piece.values[key] < 0).any() for piece in pieces)
    figure_legend(figure, legend_handles(classes, colors, unknown))
    return save_picture(figure, path)
