from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch_geometric.data import Data

from stofm_pyg.data.check_spread import check_spread
from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.transforms import AddVirtualCells, NormalizePosition, SpatialRadiusGraph


def build_data(
    x: np.ndarray,
    pos: np.ndarray,
    cell_id: np.ndarray,
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, Sequence[str]],
    *,
    name: str = "",
    unit: str = "spacing",
    microns_per_unit: float = 1.0,
    radius: float | None = 8.0,
    max_neighbors: int | None = None,
    virtual_cells: bool = True,
    max_clusters: int = 50,
    alpha: float = 0.2,
    seed: int = 0,
) -> Data:
    r"""Makes the :class:`~torch_geometric.data.Data` of one slice from arrays, one row per cell.

    Positions stay in double precision until the graph and the clusters are there, so that turning
    the slice does not move a pair of cells across the radius.

    Args:
        x (np.ndarray): Features :math:`(N, F)`.
        pos (np.ndarray): Positions :math:`(N, 2)`.
        cell_id (np.ndarray): The row of each cell in its AnnData :math:`(N)`.
        labels (dict): Class numbers :math:`(N)` by name, -1 where unknown.
        classes (dict): Names of the classes of each label.
        name (str, optional): The name of the slice. (default: :obj:`""`)

    The other arguments are those of :meth:`from_anndata`.
    """
    check_spread(pos, name)
    data = Data(
        x=torch.tensor(x, dtype=torch.float32),
        pos=torch.tensor(pos, dtype=torch.float64),
        node_type=torch.full((len(pos),), NodeType.CELL, dtype=torch.uint8),
        cell_id=torch.tensor(cell_id, dtype=torch.int64),
    )
    for label, codes in labels.items():
        data[label] = torch.tensor(codes, dtype=torch.int64)
    data.classes = {label: list(names) for label, names in classes.items()}
    data.name = name

    data = NormalizePosition(unit=unit, microns_per_unit=microns_per_unit)(data)
    if radius is None:
        data.edge_index = torch.empty((2, 0), dtype=torch.int64)
        data.edge_attr = torch.empty((0, 1), dtype=torch.float32)
    else:
        data = SpatialRadiusGraph(radius, max_neighbors=max_neighbors)(data)
    if virtual_cells:
        data = AddVirtualCells(max_clusters=max_clusters, alpha=alpha, seed=seed)(data)
    data.pos = data.pos.float()
    return data
