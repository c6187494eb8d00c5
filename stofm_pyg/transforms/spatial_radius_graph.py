import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.transforms._positions import cell_mask
from stofm_pyg.transforms.neighbors import TOLERANCE, radius_edges


@functional_transform("spatial_radius_graph")
class SpatialRadiusGraph(BaseTransform):
    r"""Connects all cells within a given distance of each other and stores their distances
    (functional name: :obj:`spatial_radius_graph`).

    The graph is symmetric and sorted, has no self-loops, and joins coincident cells at distance zero.
    It depends on distances alone and so does not change when the slice is turned. Only cells are
    connected; edges of other nodes are :class:`ConnectVirtualCells`'s.

    Args:
        radius (float): The distance up to which (inclusively) cells are joined, in the unit of
            :obj:`data.pos`.
        max_neighbors (int, optional): Keep an edge only if it is among the :obj:`max_neighbors`
            shortest of one of its two ends, ties broken by node order. (default: :obj:`None`)

    Sets :obj:`data.edge_index` :math:`(2, |\mathcal{E}|)` and :obj:`data.edge_attr`
    :math:`(|\mathcal{E}|, 1)`, Euclidean distances as float32.
    """

    def __init__(self, radius: float, max_neighbors: int | None = None):
        if not 0 < radius < float("inf"):
            raise ValueError(f"'radius' must be positive and finite (got {radius})")
        if max_neighbors is not None and max_neighbors < 1:
            raise ValueError(f"'max_neighbors' must be at least 1 or None (got {max_neighbors})")
        self.radius = radius
        self.max_neighbors = max_neighbors

    def forward(self, data: Data) -> Data:
        cells = cell_mask(data).nonzero().view(-1)
        edge_index, distance = radius_edges(data.pos[cells], self.radius)
        if self.max_neighbors is not None:
            keep = self._nearest(edge_index, distance, cells.numel())
            edge_index, distance = edge_index[:, keep], distance[keep]

        data.edge_index = cells[edge_index]
        data.edge_attr = distance.float().unsqueeze(-1)
        return data

    def _nearest(self, edge_index: Tensor, distance: Tensor, num_cells: int) -> Tensor:
        # Rounded distances, so that equal ones tie and node order decides, not the last bit.
        length = (distance / (self.radius * TOLERANCE)).round()
        order = length.argsort(stable=True)
        order = order[edge_index[0, order].argsort(stable=True)]
        degree = torch.bincount(edge_index[0], minlength=num_cells)
        rank = torch.arange(order.numel()) - (degree.cumsum(0) - degree)[edge_index[0, order]]

        near = torch.zeros(order.numel(), dtype=torch.bool)
        near[order] = rank < self.max_neighbors
        # The edges are sorted, so sorting them by target lists each edge's reverse in their order.
        reverse = (edge_index[1] * num_cells + edge_index[0]).argsort()
        return near | near[reverse]

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(radius={self.radius}, max_neighbors={self.max_neighbors})"
        )
