import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.index import index2ptr, ptr2index
from torch_geometric.loader import ClusterData
from torch_geometric.loader.cluster import Partition
from torch_geometric.utils import index_sort, narrow

from stofm_pyg.data.slices.cell_order import sort_cells
from stofm_pyg.loader._partition import grid_partition, metis_partition
from stofm_pyg.nn.node_type import NodeType, node_types
from stofm_pyg.transforms import ConnectVirtualCells
from stofm_pyg.transforms.check_positions import check_coordinates

NODES_PER_BLOCK, EDGES_PER_BLOCK = 2**16, 2**22


class SpatialClusterData(ClusterData):
    r"""Partitions a slice into the subpatches of the `"SToFM" <https://arxiv.org/abs/2507.11588>`_
    paper: every cell is in exactly one, virtual cells and CLS are in all, tied to all their nodes.

    A :class:`torch_geometric.loader.ClusterData` with another assignment of nodes to parts, since
    PyG's own METIS needs packages that PyPI does not have.

    Cells with names (:obj:`cell_hash`) are taken in an order that follows from these, so that subpatches
    do not depend on the order of a file.

    Args:
        data (Data): The slice, with :obj:`edge_index`; virtual cells (and CLS) optional.
        cells_per_part (int, optional): The wanted number of cells in a subpatch.
            (default: :obj:`1000`)
        num_parts (int, optional): The number of subpatches instead. (default: :obj:`None`)
        method (str, optional): :obj:`"metis"`, parts of like size that cut few edges and do not
            change when the slice is turned, or :obj:`"grid"`, the paper's axis-aligned squares.
            (default: :obj:`"metis"`)
        seed (int, optional): The seed of METIS. (default: :obj:`0`)
        transform (Callable, optional): Ties the nodes of each subpatch. Without, that is
            :class:`~stofm_pyg.transforms.ConnectVirtualCells`; for official weights it is
            :class:`~stofm_pyg.transforms.OfficialGraph`, together with :obj:`method="grid"`.
            (default: :obj:`None`)
        **kwargs (optional): Additional arguments of :class:`torch_geometric.loader.ClusterData`.

    Raises:
        TypeError: It is no slice, or a batch of them.
        ValueError: The method is unknown, a number is not positive, an argument is not supported, or
            the slice has no graph, no cell or no positions.
    """

    methods = ("metis", "grid")

    def __init__(
        self,
        data: Data,
        cells_per_part: int = 1000,
        num_parts: int | None = None,
        method: str = "metis",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        **kwargs,
    ):
        if method not in self.methods:
            raise ValueError(f"Unknown method '{method}'; known: {', '.join(self.methods)}")
        if cells_per_part < 1:
            raise ValueError(f"'cells_per_part' must be at least 1 (got {cells_per_part})")
        if num_parts is not None and num_parts < 1:
            raise ValueError(f"'num_parts' must be at least 1 or None (got {num_parts})")
        for key in ("keep_inter_cluster_edges", "save_dir"):
            if kwargs.get(key):
                raise ValueError(f"'{key}' is not supported (got {kwargs[key]!r}); leave it out")
        if not isinstance(data, Data) or isinstance(data, Batch):
            raise TypeError(f"Expected one slice, got {type(data).__name__}; partition each by itself")
        if data.edge_index is None:
            raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")
        check_coordinates(data.pos)
        cells, self.extra = _split(data)
        if cells.num_nodes == 0:
            raise ValueError("The slice is empty: it has no cell; leave it out")

        self.method = method
        self.seed = seed
        self.transform = ConnectVirtualCells() if transform is None else transform
        self.cells_per_part = cells_per_part
        #: How often a loader has gone through the subpatches.
        self.passes = 0
        in_order = _numbered(cells)
        if in_order is not None:
            cells = in_order
        self._pos = cells.pos
        wanted = num_parts or max(1, round(cells.num_nodes / cells_per_part))
        kwargs.setdefault("log", False)
        super().__init__(cells, min(wanted, cells.num_nodes), **kwargs)
        del self._pos
        if in_order is not None:
            self.partition.node_perm = self.data.node_number
            self.partition.edge_perm = self.data.edge_number
            del self.data.node_number, self.data.edge_number

    def _metis(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        if self.method == "grid":
            part = grid_partition(self._pos, self.cells_per_part)
        else:
            part = metis_partition(edge_index, self._pos, self.num_parts, self.seed)
        # METIS may leave a part empty on a tiny slice, and the grid makes as many as it needs.
        part = part.unique(return_inverse=True)[1]
        self.num_parts = int(part.max()) + 1
        return part

    def _partition(self, edge_index: Tensor, cluster: Tensor) -> Partition:
        # What PyG's gives, in the memory of some nodes' edges beside the result.
        num_nodes = cluster.numel()
        if self.sparse_format != "csr" or not _is_sorted(edge_index, num_nodes):
            return super()._partition(edge_index, cluster)
        cluster, node_perm = index_sort(cluster, max_value=self.num_parts)
        place = torch.empty_like(node_perm)
        place[node_perm] = torch.arange(num_nodes)
        start = index2ptr(edge_index[0], size=num_nodes)
        degree = start.diff()[node_perm]
        indptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        index, edge_perm = torch.empty_like(edge_index[0]), torch.empty_like(edge_index[0])
        for first in range(0, num_nodes, NODES_PER_BLOCK):
            nodes = slice(first, first + NODES_PER_BLOCK)
            own = indptr[first : first + NODES_PER_BLOCK + 1]
            row = ptr2index(own - own[0])
            old = torch.arange(int(own[-1] - own[0])) - (own[:-1] - own[0])[row]
            old += start[node_perm[nodes]][row]
            col = place[edge_index[1][old]]
            order = (row * num_nodes + col).argsort()
            edges = slice(int(own[0]), int(own[-1]))
            index[edges], edge_perm[edges] = col[order], old[order]
        partptr = index2ptr(cluster, size=self.num_parts)
        return Partition(indptr, index, partptr, node_perm, edge_perm, self.sparse_format)

    @property
    def sizes(self) -> Tensor:
        r"""The number of nodes of each subpatch :math:`(P)`."""
        return self.partition.partptr.diff() + self.extra.num_nodes

    def __getitem__(self, idx: int) -> Data:
        if not -len(self) <= idx < len(self):
            raise IndexError(f"Subpatch {idx} of {len(self)}")
        part = super().__getitem__(idx % len(self))
        if self.extra.num_nodes > 0:
            if "num_nodes" in part:
                part.num_nodes += self.extra.num_nodes
            for key in self.data.node_attrs():
                if isinstance(self.data[key], Tensor):
                    part[key] = torch.cat([part[key], self.extra[key]], dim=0)
        return self.transform(part)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.num_parts}, method='{self.method}')"


def _split(data: Data) -> tuple[Data, Data]:
    # Cells with the edges among them, and all other nodes without edges.
    if data.get("node_type") is None:
        data = data.clone()
        data.node_type = node_types(data)
    is_cell = data.node_type == NodeType.CELL
    extra, number = data.subgraph(~is_cell), int(is_cell.sum())
    largest = int(data.edge_index.max()) if data.edge_index.numel() > 0 else -1
    if largest >= number or not is_cell[:number].all():
        return data.subgraph(is_cell), extra
    # Cells come first and edges are among them, as mostly: nothing need be copied.
    cells = copy.copy(data)
    for key, value in data.items():
        if key == "num_nodes":
            cells.num_nodes = number
        elif key != "edge_index" and data.is_node_attr(key):
            cells[key] = narrow(value, data.__cat_dim__(key, value), 0, number)
    return cells, extra


def _numbered(cells: Data) -> Data | None:
    # In the order of names, with the places that nodes and edges had; None if they are in it.
    hashes = cells.get("cell_hash")
    if hashes is None or bool((hashes.diff() >= 0).all()):
        return None
    cells = copy.copy(cells)
    cells.node_number = torch.arange(cells.num_nodes)
    cells.edge_number = torch.arange(cells.num_edges)
    return sort_cells(cells)


def _is_sorted(edge_index: Tensor, num_nodes: int) -> bool:
    # By both ends, no edge twice.
    for start in range(0, edge_index.size(1), EDGES_PER_BLOCK):
        row, col = edge_index[:, start : start + EDGES_PER_BLOCK + 1]
        if not bool(((row * num_nodes + col).diff() > 0).all()):
            return False
    return True
