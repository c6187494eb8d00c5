import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.figure import Figure

from stofm_pyg.plot.checks import as_array, check_matrix, shortened
from stofm_pyg.plot.named_alike import count_pairs
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import class_column


def plot_confusion(
    matrix: Any,
    classes: Sequence[str] | None = None,
    path: str | os.PathLike | None = None,
    *,
    truth: str | None = None,
    prediction: str | None = None,
) -> Figure:
    r"""Draws a confusion matrix as shares of the cells of each true class.

    Args:
        matrix (array, Tensor or AnnData): Numbers of cells :math:`(C, C)`, rows are the truth; or cells
            with both classes.
        classes (sequence of str, optional): Names of the classes; of an AnnData, those of the columns
            without. Domains that have names of their own get columns of their own.
            (default: :obj:`None`)
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        truth (str, optional): The column of :obj:`adata.obs` with the true classes.
            (default: :obj:`None`)
        prediction (str, optional): The column with the predicted ones; :obj:`"stofm_"` and the name of
            the truth without. (default: :obj:`None`)

    Returns:
        The figure.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The matrix is not one of numbers of cells of these classes.
    """
    path = picture_path(path)
    if isinstance(matrix, AnnData):
        matrix, rows, columns = _count(matrix, classes, truth, prediction)
    else:
        matrix = as_array(matrix).astype(float)
        rows = columns = list(classes or ())
        check_matrix(matrix, rows)
    names, predicted = ([shortened(name, 24) for name in each] for each in (rows, columns))
    total = matrix.sum(axis=1)
    share = np.divide(matrix, total[:, None], out=np.zeros_like(matrix), where=total[:, None] > 0)

    size = (0.5 * len(predicted) + 3.4, 0.5 * len(names) + 1.3)
    figure = Figure(figsize=size, layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*share.shape):
        text = f"{share[i, j]:.2f}" if total[i] else "–"
        color = "white" if share[i, j] > 0.55 else "#BBBBBB" if share[i, j] < 0.005 else "black"
        ax.text(j, i, text, ha="center", va="center", fontsize=8, color=color)
    ax.set_xticks(range(len(predicted)), predicted, rotation=45, ha="right", rotation_mode="anchor")
    counted = [f"{name} ({count:,.0f})" for name, count in zip(names, total, strict=True)]
    ax.set_yticks(range(len(names)), counted)
    ax.tick_params(length=0, labelsize=9)
    ax.set(xlabel="predicted", ylabel="true (number of cells)")
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, shrink=0.8, aspect=25, fraction=0.04, label="share of the true class")
    return save_picture(figure, path)


def _count(
    adata: AnnData, classes: Sequence[str] | None, truth: str | None, prediction: str | None
) -> tuple[np.ndarray, list[str], list[str]]:
    if truth is None:
        raise ValueError(f"Name the true classes by 'truth=', one of {list(adata.obs.columns)}")
    (true, rows), (guess, columns) = (
        class_column(adata.obs, key) for key in (truth, prediction or f"stofm_{truth}")
    )
    if classes is not None or set(columns) <= set(rows):  # Classes that were learned.
        shared = [str(name) for name in (rows if classes is None else classes)]
        number = {name: code for code, name in enumerate(shared)}
        true, guess = (
            np.array([number.get(name, -1) for name in names] + [-1], dtype=np.int64)[codes]
            for codes, names in ((true, rows), (guess, columns))
        )
        rows = columns = shared
    return count_pairs(true, guess, (len(rows), len(columns))).astype(float), rows, columns
