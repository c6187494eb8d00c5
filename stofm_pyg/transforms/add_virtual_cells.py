import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg._scatter import scatter_mean
from stofm_pyg.nn.node_type import NodeType, cell_mask
from stofm_pyg.transforms._append_nodes import append_nodes
from stofm_pyg.transforms.check_tensors import check_tensors
from stofm_pyg.transforms.clusters import METHODS, leiden, neighbor_graph


@functional_transform("add_virtual_cells")
class AddVirtualCells(BaseTransform):
    r"""Appends the macro scale of the `"SToFM" <https://arxiv.org/abs/2507.11588>`_ paper to a slice:
    one virtual cell per Leiden cluster, with the mean features and the mean position of its cells
    (functional name: :obj:`add_virtual_cells`).

    Cells are clustered on the nearest-neighbour graph of :math:`\alpha` times their position beside
    :math:`1 - \alpha` times the first principal components of their features, each scaled to a largest
    norm of one. (The official code *adds* the two, which depends on how the slice is turned; side by
    side, only distances count.)

    Args:
        max_clusters (int, optional): The largest number of virtual cells. The resolution is halved
            until the clusters are no more than that; should the graph have more components than
            that, the smallest clusters join the nearest ones. (default: :obj:`50`)
        alpha (float, optional): The weight of positions against features. (default: :obj:`0.2`)
        resolution (float, optional): The resolution of Leiden to start from. (default: :obj:`1.0`)
        num_neighbors (int, optional): Neighbours of a cell in the graph. (default: :obj:`10`)
        num_components (int, optional): Principal components in use. (default: :obj:`2`)
        method (str, optional): :obj:`"igraph"`, or :obj:`"leidenalg"`: about ten times slower at the
            same modularity. (default: :obj:`"igraph"`)
        seed (int, optional): The seed of Leiden. (default: :obj:`0`)

    Virtual cells have node type 2 and :obj:`cell_id` -1; :obj:`data.cluster` :math:`(N)` is set, other
    node attributes are averaged if floating, else -1 ("unknown"), or :obj:`False`. Edges stay as they
    are; :class:`ConnectVirtualCells` ties virtual cells to the others.

    Raises:
        ValueError: A number is out of its range, the method unknown, or the slice has no cell, other
            nodes already, or features or positions that are missing or not finite.
    """

    def __init__(
        self,
        max_clusters: int = 50,
        alpha: float = 0.2,
        resolution: float = 1.0,
        num_neighbors: int = 10,
        num_components: int = 2,
        method: str = "igraph",
        seed: int = 0,
    ):
        if max_clusters < 1:
            raise ValueError(f"'max_clusters' must be at least 1 (got {max_clusters})")
        if not 0 <= alpha <= 1:
            raise ValueError(f"'alpha' must lie between 0 and 1 (got {alpha})")
        if method not in METHODS:
            raise ValueError(f"Unknown Leiden method '{method}'; known: {', '.join(METHODS)}")
        self.max_clusters = max_clusters
        self.alpha = alpha
        self.resolution = resolution
        self.num_neighbors = num_neighbors
        self.num_components = num_components
        self.method = method
        self.seed = seed

    def forward(self, data: Data) -> Data:
        is_cell = cell_mask(data)
        if not is_cell.all():
            raise ValueError(
                "The slice already has virtual cells or CLS; add virtual cells to cells alone"
            )
        num_cells = data.num_nodes
        if num_cells == 0:
            raise ValueError("The slice is empty: it has no cell; leave it out")
        check_tensors(data)
        points = self.joint_space(data.x, data.pos)
        cluster = self.cluster(points)
        num_clusters = int(cluster.max()) + 1

        if data.get("cell_id") is None:
            data.cell_id = torch.arange(num_cells)
        data.cluster = cluster
        data.node_type = torch.full((num_cells,), NodeType.CELL, dtype=torch.uint8)
        values = {
            "cluster": torch.arange(num_clusters),
            "node_type": torch.full((num_clusters,), NodeType.VIRTUAL),
        }
        return append_nodes(
            data, num_clusters, values, lambda value: scatter_mean(value, cluster, num_clusters)
        )

    def joint_space(self, x: Tensor, pos: Tensor) -> Tensor:
        r"""Positions beside the first principal components, weighted :math:`(N, 2 + C)`."""
        x = x.to(torch.float64, copy=True)
        x -= x.mean(dim=0)
        _, vectors = torch.linalg.eigh(x.t() @ x)
        components = x @ vectors.flip(1)[:, : self.num_components]
        parts = []
        for part, weight in ((pos.double(), self.alpha), (components, 1 - self.alpha)):
            part = part - part.mean(dim=0)
            parts.append(weight * part / part.norm(dim=1).max().clamp(min=1e-12))
        return torch.cat(parts, dim=1)

    def cluster(self, points: Tensor) -> Tensor:
        r"""Leiden clusters :math:`(N)`, numbered by decreasing size, at most :obj:`max_clusters`."""
        if points.size(0) == 1:
            return torch.zeros(1, dtype=torch.long)
        graph = neighbor_graph(points, self.num_neighbors)
        resolution = self.resolution
        # Below 1e-3 of the first resolution what is left are the components of the graph.
        while True:
            cluster = leiden(graph, resolution, self.method, self.seed)
            if int(cluster.max()) < self.max_clusters or resolution < 1e-3 * self.resolution:
                break
            resolution /= 2
        cluster = _by_size(cluster)
        num_clusters = int(cluster.max()) + 1
        if num_clusters > self.max_clusters:
            mean = scatter_mean(points, cluster, num_clusters)
            nearest = torch.arange(num_clusters)
            small = mean[self.max_clusters :]
            nearest[self.max_clusters :] = torch.cdist(small, mean[: self.max_clusters]).argmin(1)
            cluster = _by_size(nearest[cluster])
        return cluster

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(max_clusters={self.max_clusters}, alpha={self.alpha}, "
            f"resolution={self.resolution})"
        )


def _by_size(cluster: Tensor) -> Tensor:
    order = torch.bincount(cluster).argsort(descending=True, stable=True)
    return order.argsort()[cluster]
