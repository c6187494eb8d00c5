import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.colors import colors_of
from stofm_pyg.plot.named_alike import named_alike
from stofm_pyg.plot.panels import figure_legend, legend_handles, make_panels
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import Slices, read_pieces
from stofm_pyg.plot.points import dot, draw_classes
from stofm_pyg.plot.scale_bar import add_scale_bar

RIGHT, WRONG = "#C6D3DC", "#D62728"


def plot_truth_and_prediction(
    slices: Slices,
    path: str | os.PathLike | None = None,
    *,
    truth: str = "truth",
    prediction: str | None = None,
    match: bool = False,
    colors: Mapping[str, Any] | None = None,
    **where,
) -> Figure:
    r"""Draws a row for each slice: the truth, the prediction in the same colours, and the errors.

    Args:
        slices (AnnData, str, PathLike, Data, or sequence of Data or dict): The slices: an AnnData or its
            file; slices; or for each a dict with :obj:`name`, :obj:`pos` :math:`(N, 2)`, :obj:`truth`
            and :obj:`prediction` :math:`(N)` (class numbers, -1 where unknown or not predicted), and
            :obj:`classes`, the names of the classes.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        truth (str, optional): The true classes: a column of :obj:`adata.obs`, or a key of the slices.
            (default: :obj:`"truth"`)
        prediction (str, optional): The predicted ones; of an AnnData, :obj:`"stofm_"` and the name of
            the truth without. (default: :obj:`None`)
        match (bool, optional): If set to :obj:`True`, the predicted classes have names of their own, as
            domains have that were found without labels: each is drawn as the true class that most of
            its cells are of. (default: :obj:`False`)
        colors (dict, optional): Colours by name of a class, see :meth:`plot_domains`.
            (default: :obj:`None`)
        **where (optional): See :meth:`plot_domains`.

    Returns:
        The figure.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: Nothing to draw, a key is missing, or its values do not fit.
    """
    path = picture_path(path)
    if prediction is None:
        in_table = isinstance(slices, (AnnData, str, os.PathLike))
        prediction = f"stofm_{truth}" if in_table else "prediction"
    pieces = read_pieces(slices, [truth, prediction], **where)
    classes, predicted = named_alike(pieces, truth, prediction, match)
    colors = colors_of(classes, colors or pieces[0].colors.get(truth))
    figure, axes = make_panels([[piece] for piece in pieces], 3, [*classes, "error"])
    unknown = False
    for row, piece, guess in zip(axes, pieces, predicted, strict=True):
        true, name = piece.values[truth], f"{shortened(piece.name)}: " if piece.name else ""
        scored = (true >= 0) & (guess >= 0)
        wrong = scored & (true != guess)
        draw_classes(row[0], piece.pos, true, colors, f"{name}truth")
        draw_classes(row[1], piece.pos, guess, colors, "matched domains" if match else "prediction")
        share = f"{wrong.sum() / scored.sum():.1%}" if scored.any() else "none scored"
        outcome = np.where(scored, wrong.astype(int), -1)
        order = np.argsort(outcome, kind="stable")  # Errors lie on top.
        marks = np.array([to_rgba(RIGHT), to_rgba(WRONG)])
        draw_classes(row[2], piece.pos[order], outcome[order], marks, f"errors: {share}")
        for ax in row:
            add_scale_bar(ax, piece.pos, piece.length)
        unknown |= bool((true < 0).any() or (guess < 0).any())
    figure_legend(figure, [*legend_handles(classes, colors, unknown), dot("error", WRONG)])
    return save_picture(figure, path)
