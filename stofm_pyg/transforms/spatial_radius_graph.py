from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms.check_positions import check_coordinates
from stofm_pyg.transforms.neighbors import nearest_edges, radius_edges


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
            shortest of one of its two ends, ties broken by node order. Memory grows with the edges that
            are kept, not with all within the radius. (default: :obj:`None`)

    Sets :obj:`data.edge_index` :math:`(2, |\mathcal{E}|)` and :obj:`data.edge_attr`
    :math:`(|\mathcal{E}|, 1)`, Euclidean distances as float32.

    Raises:
        ValueError: The radius, or the number of neighbours, is not positive, or positions are missing,
            of another shape, or not finite.
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
        pos = check_coordinates(data.pos)[cells]
        if self.max_neighbors is None:
            edge_index, distance = radius_edges(pos, self.radius)
        else:
            edge_index, distance = nearest_edges(pos, self.radius, self.max_neighbors)

        data.edge_index = edge_index if cells.numel() == data.num_nodes else cells[edge_index]
        data.edge_attr = distance.float().unsqueeze(-1)
        return data

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(radius={self.radius}, max_neighbors={self.max_neighbors})"
        )
