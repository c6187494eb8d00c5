import os
from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stofm_pyg.data import Keys
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.plot._marker_genes import group_expression, marker_genes
from stofm_pyg.plot.checks import shortened
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import class_column

# The area in points squared of a dot for all cells of a domain.
AREA = 130.0
CELL = 0.3


def plot_marker_genes(
    adata: AnnData,
    path: str | os.PathLike | None = None,
    *,
    key: str = Keys.DOMAIN,
    genes: Sequence[str] | None = None,
    n: int = 3,
    layer: str | None = None,
) -> Figure:
    r"""Draws genes that mark domains: a dot for each gene in each domain, of which the area is the share
    of cells with the gene and the colour the mean expression, from the least to the most of all domains.

    Args:
        adata (AnnData): Cells by genes, raw counts.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        key (str, optional): The column of :obj:`adata.obs` with the domains.
            (default: :obj:`"stofm_domain"`)
        genes (sequence of str, optional): The genes; the first of each domain by
            :meth:`marker_genes` without. (default: :obj:`None`)
        n (int, optional): The number of genes of each domain. (default: :obj:`3`)
        layer (str, optional): Where the counts are, if not in :obj:`adata.X`. (default: :obj:`None`)

    Returns:
        The figure.

    Raises:
        ValueError: There is no such column, layer or gene, or nothing marks the domains.
    """
    path = picture_path(path)
    codes, names = class_column(adata.obs, key)
    if genes is None:
        genes = list(dict.fromkeys(marker_genes(adata, key, n, layer)["gene"]))
    if not genes:
        raise ValueError(f"No gene marks a class of {key!r}; name some by 'genes='")
    index = adata.var_names.astype(str).get_indexer([str(gene) for gene in genes])
    if (index < 0).any():
        raise unknown_key(str(genes[int(np.argmin(index))]), "adata.var_names", adata.var_names[:10])
    expression, member, present = group_expression(adata, codes, len(names), layer)
    counts = np.asarray(member.sum(axis=0)).ravel()
    shown = np.flatnonzero(counts)
    mean, share = (
        np.asarray((member.T @ matrix[:, index]).todense())[shown] / counts[shown, None]
        for matrix in (expression, present)
    )
    low, high = mean.min(axis=0), mean.max(axis=0)
    relative = np.divide(mean - low, high - low, out=np.zeros_like(mean), where=high > low)

    longest = max(len(shortened(names[row], 20)) for row in shown)
    width = CELL * len(genes) + 0.085 * longest + 2.6
    figure = Figure(figsize=(width, max(CELL * len(shown) + 1.5, 3.0)), layout="constrained")
    ax = figure.subplots()
    x, y = np.meshgrid(np.arange(len(genes)), np.arange(len(shown)))
    dots = ax.scatter(
        x.ravel(), y.ravel(), s=AREA * share.ravel(), c=relative.ravel(), cmap="viridis_r", vmin=0,
        vmax=1, linewidths=0.3, edgecolors="#555555",
    )  # fmt: skip
    ax.set_xticks(
        range(len(genes)), [shortened(gene, 20) for gene in genes], rotation=60, ha="right",
        rotation_mode="anchor", fontsize=9,
    )  # fmt: skip
    ax.set_yticks(range(len(shown)), [shortened(names[row], 20) for row in shown], fontsize=9)
    ax.set(xlim=(-0.7, len(genes) - 0.3), ylim=(len(shown) - 0.3, -0.7), ylabel=key)
    ax.set_axisbelow(True)
    ax.grid(color="#EEEEEE", lw=0.6)
    ax.tick_params(length=0)
    ax.spines[:].set_color("#BBBBBB")
    bar = figure.colorbar(dots, ax=ax, shrink=0.8, aspect=15, pad=0.02)
    bar.set_label("mean expression", fontsize=9)
    bar.set_ticks([0, 1], labels=["least", "most"])
    sizes = [
        Line2D([], [], marker="o", ls="", color="#777777", ms=np.sqrt(AREA * part), label=f"{part:.0%}")
        for part in (0.25, 0.5, 1.0)
    ]
    figure.legend(
        handles=sizes, loc="outside right upper", title="cells with\nthe gene", title_fontsize=9,
        fontsize=9, frameon=False, labelspacing=0.9,
    )  # fmt: skip
    return save_picture(figure, path)
