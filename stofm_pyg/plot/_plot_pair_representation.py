import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from stofm_pyg.nn import PairRepresentation
from stofm_pyg.plot.checks import as_array
from stofm_pyg.plot.colors import UNKNOWN, colors_of
from stofm_pyg.plot.panels import figure_legend, legend_handles
from stofm_pyg.plot.picture import picture_path, save_picture


@torch.no_grad()
def plot_pair_representation(
    pair: Any,
    path: str | os.PathLike | None = None,
    *,
    values: Any = None,
    classes: Sequence[str] | None = None,
    head: int | None = None,
    nodes: Any = None,
    max_nodes: int = 400,
    seed: int = 0,
) -> Figure:
    r"""Draws the pair representation of nodes of a subpatch as a matrix, those of one class side by
    side.

    Args:
        pair (PairRepresentation or Tensor): What an encoder returned, or its numbers :math:`(n, n)` or
            :math:`(n, n, H)`: query, key.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        values (array, optional): The class number of each node :math:`(N)`, -1 where unknown, by which
            nodes are sorted. (default: :obj:`None`)
        classes (sequence of str, optional): The names of the classes. (default: :obj:`None`)
        head (int, optional): The head; the mean over all without. (default: :obj:`None`)
        nodes (array, optional): The nodes to draw, of one subpatch; all of the first subpatch without.
            (default: :obj:`None`)
        max_nodes (int, optional): Of more nodes, so many are drawn by chance. (default: :obj:`400`)
        seed (int, optional): The seed of that choice. (default: :obj:`0`)

    Returns:
        The figure.

    Raises:
        IndexError: There is no such head.
        ValueError: The shapes do not fit.
    """
    path = picture_path(path)
    if not isinstance(pair, PairRepresentation):
        pair = as_array(pair)
        if pair.ndim not in (2, 3) or pair.shape[0] != pair.shape[1]:
            raise ValueError(f"The pair representation has shape {pair.shape}; pass [n, n] or [n, n, H]")
    num_nodes = pair.sizes[0] if isinstance(pair, PairRepresentation) else len(pair)
    nodes = np.arange(num_nodes) if nodes is None else as_array(nodes).astype(np.int64)
    if len(nodes) > max_nodes:
        nodes = np.sort(np.random.default_rng(seed).choice(nodes, max_nodes, replace=False))
    codes = None
    if values is not None:
        codes = as_array(values).astype(np.int64)
        if len(codes) <= nodes.max(initial=0):
            raise ValueError(f"There are {len(codes)} values, but node {nodes.max()}; pass one for each")
        codes = codes[nodes]
        order = np.argsort(np.where(codes < 0, np.iinfo(np.int64).max, codes), kind="stable")
        nodes, codes = nodes[order], codes[order]
    matrix = _matrix(pair, nodes, head)

    figure = Figure(figsize=(6.6, 4.8), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(matrix, interpolation="nearest", **_scale(matrix))
    ax.set(xlabel=f"key ({len(nodes)} nodes)", ylabel="query")
    ax.set_xticks([])
    ax.set_yticks([])
    told = "mean over heads" if head is None else f"head {head}"
    ax.set_title(f"pair representation, {told}", fontsize=10)
    figure.colorbar(image, ax=ax, shrink=0.7, label="logit")
    if codes is not None:
        names = classes or [str(number) for number in range(int(codes.max(initial=-1)) + 1)]
        colors = colors_of(names)
        _strip(ax, codes, colors)
        present = [number for number in range(len(names)) if (codes == number).any()]
        handles = legend_handles([names[i] for i in present], colors[present], bool((codes < 0).any()))
        figure_legend(figure, handles)
    return save_picture(figure, path)


def _matrix(pair: Any, nodes: np.ndarray, head: int | None) -> np.ndarray:
    if isinstance(pair, PairRepresentation):
        index = torch.from_numpy(nodes).to(pair.batch.device)
        start = int((pair.batch == pair.batch[index[0]]).nonzero()[0])
        rows = as_array(pair.rows(index).float())[:, nodes - start]
    else:
        rows = pair[np.ix_(nodes, nodes)]
    if rows.ndim == 2:
        return rows
    if head is not None and not -rows.shape[2] <= head < rows.shape[2]:
        raise IndexError(f"There is no head {head}; the pair representation has {rows.shape[2]}")
    return rows.mean(axis=2) if head is None else rows[:, :, head]


def _scale(matrix: np.ndarray) -> dict[str, Any]:
    # White is zero only where numbers lie on both sides of it.
    low, high = np.quantile(matrix, [0.005, 0.995])
    if min(-low, high) > 0.25 * max(-low, high):
        return {"cmap": "RdBu_r", "vmin": -max(-low, high), "vmax": max(-low, high)}
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1}


def _strip(ax: Axes, codes: np.ndarray, colors: np.ndarray):
    # The classes of the nodes, along both sides.
    palette = ListedColormap([UNKNOWN, *colors])
    style = {"cmap": palette, "vmin": 0, "vmax": len(colors), "aspect": "auto"}
    style["interpolation"] = "nearest"
    for place, strip in (([-0.035, 0, 0.025, 1], codes[:, None]), ([0, -0.035, 1, 0.025], codes[None])):
        side = ax.inset_axes(place)
        side.imshow(strip + 1, **style)
        side.set_axis_off()
    ax.xaxis.labelpad = ax.yaxis.labelpad = 14
