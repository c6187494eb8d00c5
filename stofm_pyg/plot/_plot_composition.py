import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.figure import Figure

from stofm_pyg.data import Keys
from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.colors import colors_of
from stofm_pyg.plot.named_alike import count_pairs
from stofm_pyg.plot.panels import LEGEND_STYLE
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import class_column, kept_colors
from stofm_pyg.plot.points import dot

BAR, LETTER = 0.42, 0.085
MAX_ROWS = 18


def plot_composition(
    adata: AnnData,
    path: str | os.PathLike | None = None,
    *,
    key: str = Keys.DOMAIN,
    of: str = "cell_type",
    colors: Mapping[str, Any] | None = None,
) -> Figure:
    r"""Draws which cell types a domain is made of: a bar for each domain, of which the parts are shares
    of its cells.

    Args:
        adata (AnnData): Cells with both classes.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        key (str, optional): The column of :obj:`adata.obs` with a bar for each class.
            (default: :obj:`"stofm_domain"`)
        of (str, optional): The column that the bars are made of. Cells that are unknown in one of both
            are left out. (default: :obj:`"cell_type"`)
        colors (dict, optional): Colours of the parts by name, see :meth:`plot_domains`.
            (default: :obj:`None`)

    Returns:
        The figure.

    Raises:
        ValueError: There is no such column, or no cell is known in both.
    """
    path = picture_path(path)
    codes, domains = class_column(adata.obs, key)
    types, names = class_column(adata.obs, of)
    table = count_pairs(codes, types, (len(domains), len(names)))
    shown = np.flatnonzero(table.sum(axis=1))
    if len(shown) == 0:
        raise ValueError(f"No cell has a known {key!r} and a known {of!r}; name other columns")
    total = table[shown].sum(axis=1)
    share = table[shown] / total[:, None]
    palette = colors_of(names, colors or kept_colors(adata, of, names))

    present = [number for number in range(len(names)) if share[:, number].any()]
    columns = -(-len(present) // MAX_ROWS)
    longest = max(len(shortened(names[number], 24)) for number in present)
    width = 2.4 + BAR * len(shown) + columns * (0.45 + LETTER * longest)
    figure = Figure(figsize=(width, 4.4), layout="constrained")
    ax = figure.subplots()
    bottom = np.zeros(len(shown))
    for number in present:
        ax.bar(
            range(len(shown)), share[:, number], bottom=bottom, color=palette[number], width=0.8,
            edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        bottom += share[:, number]
    told = [
        f"{shortened(domains[row], 20)} ({count:,})" for row, count in zip(shown, total, strict=True)
    ]
    ax.set_xticks(range(len(shown)), told, rotation=45, ha="right", rotation_mode="anchor")
    ax.set(xlabel=f"{key} (number of cells)", ylabel=f"share of {of}", ylim=(0, 1))
    ax.set_xlim(-0.6, len(shown) - 0.4)
    ax.spines[["top", "right"]].set_visible(False)
    handles = [dot(shortened(names[number], 24), palette[number], "s") for number in reversed(present)]
    ax.legend(
        handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0,
        **LEGEND_STYLE,
    )  # fmt: skip
    return save_picture(figure, path)
