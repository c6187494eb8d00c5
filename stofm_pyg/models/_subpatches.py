import logging

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from stofm_pyg._threads import one_thread
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.nn import NodeType
from stofm_pyg.nn.node_type import node_types
from stofm_pyg.transforms import AddCLS, ConnectVirtualCells, OfficialGraph
from stofm_pyg.transforms.check_tensors import check_tensors
from stofm_pyg.transforms.neighbors import check_distances

logger = logging.getLogger(__name__)


def subpatches(
    data: Data, graph: str, cells_per_part: int, method: str | None, seed: int
) -> SpatialClusterData:
    r"""The subpatches in which a model embeds a slice.

    Nodes carry :obj:`row`, which leads back to the order of the slice, as :obj:`cell_id`, a row of the
    AnnData, need not. The subpatches are the same in whatever order cells with names are.

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
    bare = Data(x=data.x.float(), pos=data.pos, node_type=node_type, row=row)
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
    else:
        bare.edge_index, bare.edge_attr = data.edge_index.long(), data.edge_attr.float().view(-1, 1)
        bare.cell_hash = data.get("cell_hash")
    method = method or ("grid" if graph == "official" else "metis")
    with one_thread():
        return SpatialClusterData(
            bare, cells_per_part, method=method, seed=seed, transform=ties_of(graph)
        )


def ties_of(graph: str) -> BaseTransform:
    r"""What ties the nodes of a subpatch, for :obj:`SToFM.graph`."""
    return OfficialGraph() if graph == "official" else ConnectVirtualCells()


def check_slice(data: Data, graph: str):
    r"""Checks that a slice can be embedded.

    Args:
        data (Data): The slice.
        graph (str): How nodes are tied, :obj:`SToFM.graph`.

    Raises:
        TypeError: A value is no tensor that can be computed with.
        ValueError: It has no features, positions or graph, values of another shape or that are not
            finite, or edges with other distances than those of their ends; the message names the first.
    """
    check_tensors(data)
    if graph != "official" and (data.edge_index is None or data.edge_attr is None):
        raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")
    if graph != "official":
        check_distances(data)


def _check_unit(data: Data):
    if data.get("unit") != "official":
        raise ValueError(
            f"A model with 'graph=\"official\"' takes positions in the official unit (got "
            f"{data.get('unit')!r}); make the slice by 'from_anndata(..., unit=\"official\")', or apply "
            f"'NormalizePosition(unit=\"official\")' before virtual cells are added"
        )
