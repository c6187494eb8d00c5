import logging

import torch
from torch_geometric.data import Data

from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import AddCLS, OfficialGraph
from stofm_pyg.transforms._positions import node_types

logger = logging.getLogger(__name__)


def subpatches(
    data: Data, graph: str, cells_per_part: int, method: str | None, seed: int
) -> tuple[SpatialClusterData, int]:
    r"""The subpatches in which a model embeds a slice, and the number of cells of the slice.

    Nodes carry :obj:`row`, which leads back to the order of the slice, as :obj:`cell_id`, a row of the
    AnnData, need not.

    Args:
        data (Data): The slice; not changed.
        graph (str): How nodes are tied, :obj:`SToFM.graph`.
        cells_per_part (int): Cells in a subpatch.
        method (str, optional): How to partition; without, by the graph, or in the official squares for
            the official graph.
        seed (int): The seed of the partition.
    """
    node_type = node_types(data)
    is_cell = node_type == NodeType.CELL
    row = torch.full((data.num_nodes,), -1)
    row[is_cell] = torch.arange(int(is_cell.sum()))
    bare = Data(
        x=data.x, pos=data.pos, edge_index=data.edge_index, edge_attr=data.edge_attr,
        node_type=node_type, row=row,
    )  # fmt: skip
    transform = None
    if graph == "official":
        _check_unit(data)
        if not (node_type == NodeType.VIRTUAL).any():
            logger.warning(
                "The slice has no virtual cells, without which an official model was never trained; "
                "'from_anndata' adds them unless told not to"
            )
        if not (node_type == NodeType.CLS).any():
            bare = AddCLS()(bare)
        # Edges are built anew in every subpatch.
        bare.edge_index, bare.edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
        transform = OfficialGraph()
    method = method or ("grid" if graph == "official" else "metis")
    parts = SpatialClusterData(bare, cells_per_part, method=method, seed=seed, transform=transform)
    return parts, int(is_cell.sum())


def _check_unit(data: Data):
    if data.get("unit") != "official":
        raise ValueError(
            f"A model with 'graph=\"official\"' takes positions in the official unit (got "
            f"{data.get('unit')!r}); make the slice by 'from_anndata(..., unit=\"official\")', or apply "
            f"'NormalizePosition(unit=\"official\")' before virtual cells are added"
        )
