import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.figure import Figure

from stofm_pyg.data import Keys
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.colors import colors_of
from stofm_pyg.plot.flatten import flatten
from stofm_pyg.plot.panels import LEGEND_STYLE, legend_handles
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import class_column, kept_colors
from stofm_pyg.plot.points import draw_classes

SIDE, LETTER = 3.6, 0.085
MAX_ROWS = 18


def plot_embedding(
    adata: AnnData,
    path: str | os.PathLike | None = None,
    *,
    key: str = Keys.EMBEDDING,
    color: str | Sequence[str] = Keys.DOMAIN,
    method: str | None = None,
    max_cells: int = 10_000,
    colors: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Figure:
    r"""Draws the embeddings of cells in two dimensions, a panel for each kind of classes.

    Args:
        adata (AnnData): Cells with embeddings; not changed.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        key (str, optional): The key of the embeddings in :obj:`adata.obsm`; what has two channels
            already, as :obj:`"X_umap"`, is drawn as it is. (default: :obj:`"X_stofm"`)
        color (str or sequence of str, optional): Columns of :obj:`adata.obs`.
            (default: :obj:`"stofm_domain"`)
        method (str, optional): :obj:`"umap"`, :obj:`"tsne"` or :obj:`"pca"`; UMAP without where
            :obj:`umap-learn` is installed, else t-SNE. The title says which. (default: :obj:`None`)
        max_cells (int, optional): Of more cells, so many are drawn by chance.
            (default: :obj:`10000`)
        colors (dict, optional): Colours by name of a class, see :meth:`plot_domains`.
            (default: :obj:`None`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Returns:
        The figure.

    Raises:
        ImportError: UMAP was asked for, and its package is missing.
        ValueError: There is no such key, or too few cells with an embedding.
    """
    path = picture_path(path)
    if key not in adata.obsm:
        raise unknown_key(key, "adata.obsm", adata.obsm, "Make embeddings by 'model.embed(adata)'.")
    names = [color] if isinstance(color, str) else list(color)
    columns = [class_column(adata.obs, name) for name in names]
    z = np.asarray(adata.obsm[key], dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(z).all(axis=1))
    rng = np.random.default_rng(seed)
    if len(rows) > max_cells:
        rows = rng.choice(rows, max_cells, replace=False)
    else:
        rows = rng.permutation(rows)  # So that no slice hides the others.
    flat, told = flatten(z[rows], method, seed=seed)

    legends = [_legend(labels) for _, labels in columns]
    widths = [SIDE + size for _, size in legends]
    figure = Figure(figsize=(sum(widths), SIDE + 0.7), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False, gridspec_kw={"width_ratios": widths})[0]
    for ax, name, (codes, labels), (per_column, _) in zip(axes, names, columns, legends, strict=True):
        palette = colors_of(labels, colors or kept_colors(adata, name, labels))
        draw_classes(ax, flat, codes[rows], palette, shortened(name), _size(len(rows)))
        ax.set_box_aspect(1)
        ax.set_aspect("auto")  # Its axes have no unit.
        handles = legend_handles(labels, palette, bool((codes[rows] < 0).any()))
        ax.legend(
            handles=handles, ncols=-(-len(handles) // per_column), loc="upper left",
            bbox_to_anchor=(1, 1), borderaxespad=0, **LEGEND_STYLE,
        )  # fmt: skip
    figure.suptitle(f"{told} of {key}, {len(rows):,} cells".removeprefix(" of "), fontsize=11)
    return save_picture(figure, path)


def _legend(labels: Sequence[str]) -> tuple[int, float]:
    # Rows of a column, and the width in inches.
    columns = -(-(len(labels) + 1) // MAX_ROWS)
    longest = max([len(shortened(name, 24)) for name in labels] + [len("unknown")])
    return -(-(len(labels) + 1) // columns), columns * (0.45 + LETTER * longest)


def _size(num_cells: int) -> float:
    return float(np.clip(12_000 / max(num_cells, 1), 0.8, 18))
