import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.figure import Figure
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType
from stofm_pyg.nn.node_type import node_types
from stofm_pyg.plot.checks import as_array, shortened
from stofm_pyg.plot.colors import UNKNOWN, class_colors
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import read_pieces
from stofm_pyg.plot.points import default_size, dot, draw_points, tissue_axes
from stofm_pyg.plot.scale_bar import add_scale_bar

CHOSEN, PALE = "#D55E00", "#E8ECEF"
KINDS = ("itself", "neighbours", "other cells", "virtual cells", "CLS")
# Weights are told as multiples of an equal share, from one to so far at the least.
RANGE = 3.0


def plot_attention(
    data: Data,
    attention: Sequence[Any],
    path: str | os.PathLike | None = None,
    *,
    layer: int = -1,
    head: int | None = None,
) -> Figure:
    r"""Draws how a cell attends to its surroundings and to virtual cells, and which part of its
    attention each layer gives to what.

    Weights are multiples of what each node would have if all had the same.

    Args:
        data (Data): The slice.
        attention (CellAttention): What :meth:`stofm_pyg.models.attention_of` returned, or a tuple of the
            weights :math:`(L, H, n)`, the nodes of the slice that they are given to :math:`(n)`, -1 for
            a node that it does not have, and the cell.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        layer (int, optional): The layer on the tissue; the last one without. (default: :obj:`-1`)
        head (int, optional): The head; the mean over all without. (default: :obj:`None`)

    Returns:
        The figure.

    Raises:
        IndexError: There is no such layer or head.
        ValueError: Weights and nodes are not those of one cell of the slice.
    """
    path = picture_path(path)
    weights, node, cell = as_array(attention[0]), as_array(attention[1]), int(attention[2])
    kind = as_array(node_types(data))
    _check(weights, node, len(kind), layer, head)
    (piece,) = read_pieces(data, [])
    center = np.flatnonzero(kind == NodeType.CELL)[cell]
    if center not in node:
        raise ValueError(f"Cell {cell} is not among the nodes that it attends to; pass its own weights")
    of_head = weights.mean(axis=1) if head is None else weights[:, head]
    relative = of_head[layer] * len(node)
    groups = _groups(data, node, kind, center)

    figure = Figure(figsize=(11.4, 3.9), layout="constrained")
    axes = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.1, 1.1, 0.75]})
    pos = as_array(data.pos)
    positive = relative[relative > 0]
    far = max(RANGE, float(np.exp(np.quantile(np.abs(np.log(positive)), 0.995))))
    scale = {"cmap": "viridis", "norm": LogNorm(1 / far, far, clip=True)}
    in_part = node >= 0
    cells = in_part & np.isin(groups, (1, 2))
    virtual = groups == 3
    number, told = layer % len(weights), "" if head is None else f", head {head}"

    around = pos[node[cells | (groups == 0)]]
    drawn = _near(around, pos[center])
    order = np.argsort(relative[cells])  # What is attended to most lies on top.
    _tissue(axes[0], piece.pos, drawn, default_size(axes[0], drawn))
    shown = draw_points(
        axes[0], pos[node[cells]][order], default_size(axes[0], drawn), c=relative[cells][order],
        zorder=3, **scale,
    )  # fmt: skip
    tissue_axes(axes[0], f"to cells (layer {number}{told})")
    _tissue(axes[1], piece.pos, piece.pos, default_size(axes[1], piece.pos))
    if virtual.any():
        order = np.argsort(relative[virtual])
        axes[1].scatter(
            *pos[node[virtual]][order].T, s=70, c=relative[virtual][order], marker="D", zorder=3,
            edgecolors="black", linewidths=0.6, **scale,
        )  # fmt: skip
    title = f"to {int(virtual.sum())} virtual cells" if virtual.any() else "there are no virtual cells"
    tissue_axes(axes[1], title)
    for ax, extent in ((axes[0], drawn), (axes[1], piece.pos)):
        add_scale_bar(ax, extent, piece.length)
        ax.scatter(
            *pos[center], s=110, facecolors="none", edgecolors=CHOSEN, linewidths=1.8, zorder=5
        )
    bar = figure.colorbar(shown, ax=axes[:2], shrink=0.75, aspect=25, pad=0.02, panchor=False)
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.set_label("attention, in equal shares")
    _shares(axes[2], of_head, groups)
    name = f"{shortened(piece.name)}: " if piece.name else ""
    figure.suptitle(f"{name}attention of cell {cell:,}", fontsize=11)
    return save_picture(figure, path)


def _check(weights: np.ndarray, node: np.ndarray, num_nodes: int, layer: int, head: int | None):
    if weights.ndim != 3 or weights.shape[2] != len(node):
        raise ValueError(
            f"Weights of shape {weights.shape} are not [layers, heads, nodes] of {len(node)} nodes"
        )
    if node.max(initial=-1) >= num_nodes:
        raise ValueError(
            f"Node {node.max()} is not one of the {num_nodes} of the slice; pass the slice whose cell "
            f"it is"
        )
    for name, index, number in (("layer", layer, len(weights)), ("head", head, weights.shape[1])):
        if index is not None and not -number <= index < number:
            raise IndexError(f"There is no {name} {index}; there are {number}")


def _groups(data: Data, node: np.ndarray, kind: np.ndarray, center: int) -> np.ndarray:
    # Which of KINDS each node is.
    of_node = np.append(kind, NodeType.CLS)[node]
    source, target = as_array(data.edge_index)
    near = np.zeros(len(kind) + 1, dtype=bool)
    near[source[target == center]] = True
    groups = np.where(near[node], 1, 2)
    groups[of_node == NodeType.VIRTUAL] = 3
    groups[of_node == NodeType.CLS] = 4
    groups[node == center] = 0
    return groups


def _near(pos: np.ndarray, center: np.ndarray) -> np.ndarray:
    # The nearest cells, so that single ones can be seen.
    distance = np.linalg.norm(pos - center, axis=1)
    return pos[np.argsort(distance, kind="stable")[:600]]


def _tissue(ax: Axes, pos: np.ndarray, extent: np.ndarray, size: float):
    low, high = extent.min(axis=0), extent.max(axis=0)
    inside = ((pos >= low) & (pos <= high)).all(axis=1)
    draw_points(ax, pos[inside], size, color=to_rgba(PALE), zorder=1)


def _shares(ax: Axes, weights: np.ndarray, groups: np.ndarray):
    share = np.stack([weights[:, groups == group].sum(axis=1) for group in range(len(KINDS))])
    colors = [CHOSEN, class_colors(1)[0], UNKNOWN, class_colors(3)[2], "black"]
    bottom = np.zeros(len(weights))
    handles = []
    for name, part, color in zip(KINDS, share, colors, strict=True):
        if not part.any():
            continue
        ax.bar(range(len(weights)), part, bottom=bottom, color=color, width=0.75)
        handles.insert(0, dot(name, color, "s"))
        bottom += part
    ax.set(xlabel="layer", ylim=(0, 1), title="share of attention")
    ax.title.set_fontsize(10)
    ax.set_xticks(range(len(weights)))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(
        handles=handles, frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1),
        handletextpad=0.3,
    )  # fmt: skip
