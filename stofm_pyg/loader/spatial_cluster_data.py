from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData

from stofm_pyg.loader._partition import grid_partition, metis_partition
from stofm_pyg.nn.node_type import NodeType, node_types
from stofm_pyg.transforms import ConnectVirtualCells


class SpatialClusterData(ClusterData):
    r"""Partitions a slice into the subpatches of the `"SToFM" <https://arxiv.org/abs/2507.11588>`_
    paper: every cell is in exactly one, virtual cells and CLS are in all, tied to all their nodes.

    A :class:`torch_geometric.loader.ClusterData` with another assignment of nodes to parts, since
    PyG's own METIS needs packages that PyPI does not have.

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
        ValueError: The method is unknown, a number is not positive, an argument is not supported, or
            the slice has no graph or no cell.
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
        if data.edge_index is None:
            raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")
        cells, self.extra = _split(data)
        if cells.num_nodes == 0:
            raise ValueError("The slice is empty: it has no cell; leave it out")

        self.method = method
        self.seed = seed
        self.transform = ConnectVirtualCells() if transform is None else transform
        self.cells_per_part = cells_per_part
        #: How often a loader has gone through the subpatches.
        self.passes = 0
        self._pos = cells.pos
        wanted = num_parts or max(1, round(cells.num_nodes / cells_per_part))
        kwargs.setdefault("log", False)
        super().__init__(cells, min(wanted, cells.num_nodes), **kwargs)
        del self._pos

    def _metis(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        if self.method == "grid":
            part = grid_partition(self._pos, self.cells_per_part)
        else:
            part = metis_partition(edge_index, self._pos, self.num_parts, self.seed)
        # METIS may leave a part empty on a tiny slice, and the grid makes as many as it needs.
        part = part.unique(return_inverse=True)[1]
        self.num_parts = int(part.max()) + 1
        return part

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
    return data.subgraph(is_cell), data.subgraph(~is_cell)
