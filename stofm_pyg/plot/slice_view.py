r"""A slice in a notebook: a picture and counts."""

import base64
import html
import io
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType
from stofm_pyg.nn.node_type import node_types
from stofm_pyg.plot.checks import as_array, shortened
from stofm_pyg.plot.colors import class_colors, colors_of
from stofm_pyg.plot.piece import read_pieces
from stofm_pyg.plot.points import draw_classes
from stofm_pyg.plot.scale_bar import add_scale_bar

UNITS = {
    "spacing": "spacings of cells",
    "micron": "microns",
    "official": "hundredths of the diagonal",
}
DPI = 100


def slice_counts(data: Data) -> dict[str, str]:
    r"""Returns what there is to say of a slice, by what it says."""
    kind = as_array(node_types(data))
    cells = kind == NodeType.CELL
    told = {"cells": f"{int(cells.sum()):,}"}
    virtual = int((kind == NodeType.VIRTUAL).sum())
    if virtual:
        told["virtual cells"] = f"{virtual:,}"
    if data.get("x") is not None:
        told["features"] = f"{data.x.size(1):,}"
    if data.get("edge_index") is not None:
        source, target = as_array(data.edge_index)
        between = cells[source] & cells[target]
        degree = np.bincount(source[between], minlength=len(kind))[cells]
        told["edges"] = f"{int(between.sum()):,}"
        mean = degree.mean() if len(degree) else 0.0
        told["neighbours of a cell"] = f"{mean:.1f} on average, {int((degree == 0).sum()):,} have none"
    if data.get("pos") is not None and cells.any():
        width, height = np.ptp(as_array(data.pos)[cells], axis=0)
        unit = UNITS.get(data.get("unit"), "unknown unit")
        told["extent"] = f"{width:,.4g} x {height:,.4g} ({unit})"
    for label, names in (data.get("classes") or {}).items():
        if isinstance(data.get(label), torch.Tensor):
            codes = as_array(data[label])[cells]
            unknown = int((codes < 0).sum())
            told[label] = f"{len(names)} classes" + (f", {unknown:,} unknown" if unknown else "")
    return told


def slice_html(data: Data, key: str | None = None) -> str:
    r"""Returns a slice as a piece of HTML: a picture of its cells, and how many there are of what.

    Args:
        data (Data): The slice.
        key (str, optional): The label that colours the cells; the first one without, else the clusters
            of virtual cells. (default: :obj:`None`)

    Raises:
        ValueError: There is no such label.
    """
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in slice_counts(data).items()
    )
    name = html.escape(str(data.get("name") or "Slice"))
    buffer = io.BytesIO()
    _picture(data, key).savefig(buffer, format="png", dpi=DPI)
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f"<div style='display:flex;gap:1em;align-items:flex-start'>"
        f"<img alt='{name}' src='data:image/png;base64,{image}'/>"
        f"<div><b>{name}</b><table>{rows}</table></div></div>"
    )


class SliceView:
    r"""A slice as notebooks show it; as text, how many there are of what.

    Args:
        data (Data): The slice.
        key (str, optional): See :meth:`slice_html`. (default: :obj:`None`)
    """

    def __init__(self, data: Data, key: str | None = None):
        self.data = data
        self.key = key

    def _repr_html_(self) -> str:
        return slice_html(self.data, self.key)

    def __repr__(self) -> str:
        counts = [f"{name}: {value}" for name, value in slice_counts(self.data).items()]
        return "\n  ".join([str(self.data.get("name") or "Slice"), *counts])


def show(data: Data, key: str | None = None) -> SliceView:
    r"""Shows a slice in a notebook, where it is the last line of a cell.

    Args:
        data (Data): The slice.
        key (str, optional): See :meth:`slice_html`. (default: :obj:`None`)

    Example:
        >>> (data, *_) = slices_from_anndata("brain.h5ad", slice_key="slice")
        >>> show(data)
        151673
          cells: 3,639
          virtual cells: 17
          features: 50
          edges: 731,532
          neighbours of a cell: 201.0 on average, 0 have none
          extent: 58.14 x 66.76 (spacings of cells)
    """
    return SliceView(data, key)


def _picture(data: Data, key: str | None) -> Figure:
    labels = [name for name in data.get("classes") or {} if isinstance(data.get(name), torch.Tensor)]
    key = key or next(iter(labels), None) or ("cluster" if data.get("cluster") is not None else None)
    keys = [] if key is None else [key]
    (piece,) = read_pieces(data, keys)
    figure = Figure(figsize=(3.2, 3.0), layout="constrained")
    ax = figure.subplots()
    if keys:
        given: Any = piece.values[key], colors_of(piece.classes[key])
        title = shortened(key)
    else:
        given, title = (np.zeros(len(piece.pos), dtype=np.int64), class_colors(1)), None
    draw_classes(ax, piece.pos, *given, title)
    add_scale_bar(ax, piece.pos, piece.length)
    return figure
