import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.nn.node_type import NodeType


@functional_transform("connect_virtual_cells")
class ConnectVirtualCells(BaseTransform):
    r"""Ties every virtual cell to all other nodes by edges that carry their distance, and CLS to all
    nodes at distance zero (functional name: :obj:`connect_virtual_cells`).

    Meant for subpatches: it adds :math:`2 N V` edges for :math:`V` virtual cells among :math:`N` nodes.
    A subpatch without virtual cells and CLS stays as it is.

    Raises:
        ValueError: There is no graph between cells yet.
    """

    def forward(self, data: Data) -> Data:
        node_type = data.get("node_type")
        if node_type is None:
            return data
        is_cell = node_type == NodeType.CELL
        hubs = (~is_cell).nonzero().view(-1)
        if hubs.numel() == 0:
            return data

        if data.edge_index is None or data.edge_attr is None:
            raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")

        node = torch.arange(data.num_nodes, device=hubs.device)
        source = hubs.repeat_interleave(node.numel())
        target = node.repeat(hubs.numel())
        keep = source != target
        source, target = source[keep], target[keep]
        distance = (data.pos[source] - data.pos[target]).norm(dim=1, keepdim=True)
        is_cls = node_type == NodeType.CLS
        distance[is_cls[source] | is_cls[target]] = 0.0

        # Hub to hub comes in both directions already; hub to cell is mirrored.
        to_cell = is_cell[target]
        edge_index = torch.stack(
            [torch.cat([source, target[to_cell]]), torch.cat([target, source[to_cell]])]
        )
        edge_attr = torch.cat([distance, distance[to_cell]])
        data.edge_index = torch.cat([data.edge_index, edge_index], dim=1)
        known = data.edge_attr.view(-1, 1)
        data.edge_attr = torch.cat([known, edge_attr.to(known.dtype)])
        return data
