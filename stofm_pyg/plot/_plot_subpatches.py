import os

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from torch_geometric.data import Data

from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.plot.borders import apart_colors, part_borders
from stofm_pyg.plot.checks import as_array, check_length, shortened
from stofm_pyg.plot.colors import class_colors
from stofm_pyg.plot.panels import panel_grid
from stofm_pyg.plot.picture import picture_path, save_picture
from stofm_pyg.plot.piece import read_pieces
from stofm_pyg.plot.placed import Source, placed_slices, settings_of
from stofm_pyg.plot.points import draw_classes
from stofm_pyg.plot.scale_bar import add_scale_bar

# How much of a colour is white, so that borders and numbers stand out.
PALE = 0.45
BORDER = "#222222"


def plot_subpatches(
    slices: Source,
    path: str | os.PathLike | None = None,
    *,
    parts: np.ndarray | None = None,
    cells_per_part: int | None = None,
    method: str | None = None,
    seed: int = 0,
    **changes,
) -> Figure:
    r"""Draws the subpatches of slices, in which cells attend to one another, and their borders.

    Args:
        slices (AnnData, str, PathLike, Data or sequence of Data): The slices.
        path (str or PathLike, optional): The picture (png, pdf or svg) in an existing folder.
            (default: :obj:`None`)
        parts (array, optional): The subpatch of each cell :math:`(N)` of the one slice; made as
            :class:`~stofm_pyg.loader.SpatialClusterData` does without. (default: :obj:`None`)
        cells_per_part (int, optional): Cells in a subpatch; what the settings of the slice say without.
            (default: :obj:`None`)
        method (str, optional): How the slice is cut, see there. (default: :obj:`None`)
        seed (int, optional): The seed of the partition. (default: :obj:`0`)
        **changes (optional): Values of :class:`~stofm_pyg.data.SliceSettings` for an AnnData.

    Returns:
        The figure.

    Raises:
        ValueError: There is no slice or graph, or the subpatches are not those of its cells.
    """
    path = picture_path(path)
    slices = placed_slices(slices, **changes)
    if parts is not None and len(slices) > 1:
        raise ValueError(f"'parts' are those of one slice (got {len(slices)} slices)")
    pieces = read_pieces(slices, [])
    figure, axes = panel_grid(pieces, [])
    for ax, data, piece in zip(axes, slices, pieces, strict=True):
        part = _parts(data, cells_per_part, method, seed) if parts is None else as_array(parts)
        check_length(piece.pos, part, " in 'parts'")
        part = np.unique(part, return_inverse=True)[1].reshape(-1)
        sizes = np.bincount(part)
        lines, pairs = part_borders(piece.pos, part)
        number = apart_colors(part[pairs], len(sizes))
        colors = PALE + (1 - PALE) * class_colors(number.max() + 1)
        told = f"{len(sizes)} subpatch{'es' * (len(sizes) > 1)} of {sizes.min():,}"
        told += f" to {sizes.max():,} cells" if sizes.min() < sizes.max() else " cells"
        title = f"{shortened(piece.name)}: {told}" if piece.name else told
        draw_classes(ax, piece.pos, number[part], colors, title)
        ax.add_collection(LineCollection(lines, colors=[to_rgba(BORDER)], lw=1.0, zorder=3))
        add_scale_bar(ax, piece.pos, piece.length)
    return save_picture(figure, path)


def _parts(data: Data, cells_per_part: int | None, method: str | None, seed: int) -> np.ndarray:
    settings = settings_of(data)
    is_cell = cell_mask(data)
    bare = Data(edge_index=data.edge_index, pos=data.pos, num_nodes=data.num_nodes)
    bare.cell_hash = data.get("cell_hash")
    parts = SpatialClusterData(
        bare.subgraph(is_cell),
        cells_per_part or settings.cells_per_part,
        method=method or settings.method,
        seed=seed,
    )
    partition = parts.partition
    part = np.empty(int(is_cell.sum()), dtype=np.int64)
    sizes = partition.partptr.diff().numpy()
    part[partition.node_perm.numpy()] = np.repeat(np.arange(len(sizes)), sizes)
    return part
