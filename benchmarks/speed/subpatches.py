import math

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import ConnectVirtualCells, SpatialRadiusGraph

RADIUS = 4.0  # About 50 neighbours a cell at one cell per unit of area.


def make_subpatches(
    cells: int, virtual_cells: int = 50, channels: int = 256, batch_size: int = 1, seed: int = 0
) -> Data:
    r"""Random subpatches in a batch: cells at random in a square, one per unit of area, joined within
    a radius of 4, and virtual cells at random among them that are tied to all nodes.

    Args:
        cells (int): Cells of each subpatch.
        virtual_cells (int, optional): Virtual cells of each subpatch. (default: :obj:`50`)
        channels (int, optional): Features of each node. (default: :obj:`256`)
        batch_size (int, optional): The number of subpatches. (default: :obj:`1`)
        seed (int, optional): The seed. (default: :obj:`0`)
    """
    generator = torch.Generator().manual_seed(seed)
    subpatches = []
    for _ in range(batch_size):
        nodes = cells + virtual_cells
        node_type = torch.full((nodes,), int(NodeType.CELL), dtype=torch.uint8)
        node_type[cells:] = int(NodeType.VIRTUAL)
        data = Data(
            x=torch.randn(nodes, channels, generator=generator),
            pos=math.sqrt(cells) * torch.rand(nodes, 2, generator=generator),
            node_type=node_type,
        )
        subpatches.append(ConnectVirtualCells()(SpatialRadiusGraph(RADIUS)(data)))
    return Batch.from_data_list(subpatches)


def random_pairs(data: Data, num_pairs: int, seed: int = 0) -> Tensor:
    r"""Random pairs of nodes :math:`(2, P)`, both of one subpatch; all subpatches have one size."""
    generator = torch.Generator().manual_seed(seed)
    size = data.num_nodes // data.num_graphs
    pairs = torch.randint(size, (2, num_pairs), generator=generator)
    return pairs + size * torch.randint(data.num_graphs, (num_pairs,), generator=generator)
