import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import to_undirected

from stofm_pyg.nn.node_type import NodeType, node_types
from stofm_pyg.transforms.check_positions import check_coordinates
from stofm_pyg.transforms.neighbors import nearest_neighbors


@functional_transform("official_graph")
class OfficialGraph(BaseTransform):
    r"""Builds the edges of a subpatch as the official SToFM code does, for official weights
    (functional name: :obj:`official_graph`).

    * Every node is tied to its nearest ones, itself counted among the :obj:`num_neighbors`; an edge
      is one in both directions, whichever end it came from.
    * CLS and virtual cells take part in that search as points like any other.
    * Virtual cells are tied to all nodes but CLS.
    * CLS is tied to none; the layer knows it by its type.
    * Nodes at the same place are not tied: the official code reads a distance of zero as "far".

    Positions are in the :obj:`"official"` unit of :class:`NormalizePosition`, and CLS, which
    :class:`AddCLS` appends, is at their origin. Edges that are there already are replaced.

    Which of several equally near nodes is the last neighbour is arbitrary in the official code; here
    it is the first in node order. On a GPU the official code measures distances in single precision by
    squares and products, with an error of about a thousandth of the distance of neighbours; here they
    are exact.

    Args:
        num_neighbors (int, optional): The number of nearest nodes, the node itself included.
            (default: :obj:`50`)

    Sets :obj:`data.edge_index` :math:`(2, |\mathcal{E}|)` and :obj:`data.edge_attr`
    :math:`(|\mathcal{E}|, 1)`, Euclidean distances as float32.

    Raises:
        ValueError: There is not one neighbour at least, or positions are missing, of another shape, or
            not finite.
    """

    def __init__(self, num_neighbors: int = 50):
        if num_neighbors < 1:
            raise ValueError(f"'num_neighbors' must be at least 1 (got {num_neighbors})")
        self.num_neighbors = num_neighbors

    def forward(self, data: Data) -> Data:
        check_coordinates(data.pos)
        node_type = node_types(data)
        edges = torch.cat([self._near(data.pos), _hubs(node_type)], dim=1)
        edges = to_undirected(edges, num_nodes=data.num_nodes)

        is_cls = node_type == NodeType.CLS
        source, target = edges
        pos = data.pos.double()
        distance = (pos[source] - pos[target]).norm(dim=1).float()
        keep = (distance > 0) & ~is_cls[source] & ~is_cls[target]
        data.edge_index, data.edge_attr = edges[:, keep], distance[keep].unsqueeze(-1)
        return data

    def _near(self, pos: Tensor) -> Tensor:
        # The official code asks for one neighbour less where there are no more nodes than that.
        others = max(min(self.num_neighbors, pos.size(0) - 1) - 1, 0)
        near = nearest_neighbors(pos, others)
        node = torch.arange(pos.size(0)).repeat_interleave(near.size(1))
        return torch.stack([node, near.view(-1)])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(num_neighbors={self.num_neighbors})"


def _hubs(node_type: Tensor) -> Tensor:
    virtual = (node_type == NodeType.VIRTUAL).nonzero().view(-1)
    node = torch.arange(node_type.numel())
    return torch.stack([virtual.repeat_interleave(node.numel()), node.repeat(virtual.numel())])
