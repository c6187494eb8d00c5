from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.index import ptr2index

from stofm_pyg.corpus.shard import is_as_written, open_safetensors
from stofm_pyg.corpus.shard_file import save_tensors
from stofm_pyg.loader import SpatialClusterData
from stofm_pyg.nn import NodeType

FORMAT, VERSION = "stofm_pyg.parts", 1
# Subpatches whose edges are looked at together.
PARTS_AT_ONCE = 16


class PartFile:
    r"""The subpatches of a slice in a file, of which a few are read at a time. They are those of the
    :class:`~stofm_pyg.loader.SpatialClusterData` that was written.

    Args:
        path (Path): The file.
        key (str): A hash of what it depends on.
    """

    def __init__(self, path: Path, key: str):
        self.path = path
        self.key = key

    def write(self, tensors: dict[str, Tensor]):
        r"""Writes what :meth:`part_tensors` returned, as a whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(self.path, tensors, FORMAT, VERSION, self.key, with_digest=True)

    def is_whole(self) -> bool:
        r"""Whether the file is there and as it was written. Reads all of it."""
        try:
            return is_as_written(self._open())
        except (FileNotFoundError, ValueError, SafetensorError):
            return False

    def tensor(self, name: str) -> Tensor:
        r"""Returns a tensor of all cells, mapped from the file; see :meth:`part_tensors`."""
        return self._open().get_tensor(name)

    def read(self, start: int, end: int, ties: Callable[[Data], Data]) -> list[Data]:
        r"""Returns some subpatches, in which :obj:`row` counts the cells of these.

        Args:
            start (int): The number of the first.
            end (int): The number after the last.
            ties (Callable): Ties the nodes of each.
        """
        # Opened anew each time, so that pages of the file do not gather in memory.
        file = self._open()

        def rows(name: str, first: int, last: int) -> Tensor:
            return file.get_slice(name)[first:last].clone()

        ptr = rows("part_ptr", start, end + 1).tolist()
        x, pos = rows("x", ptr[0], ptr[-1]), rows("pos", ptr[0], ptr[-1])
        edge_ptr = rows("edge_ptr", ptr[0], ptr[-1] + 1)
        edges = int(edge_ptr[0]), int(edge_ptr[-1])
        col, length = rows("edge_col", *edges).long(), rows("edge_attr", *edges)
        extra = {name: file.get_tensor(f"extra_{name}").clone() for name in ("x", "pos", "node_type")}
        none = torch.full((extra["x"].size(0),), -1)
        out = []
        for first, last in zip(ptr[:-1], ptr[1:], strict=True):
            first, last = first - ptr[0], last - ptr[0]
            own = edge_ptr[first : last + 1] - edges[0]
            some = slice(int(own[0]), int(own[-1]))
            cell = torch.full((last - first,), NodeType.CELL, dtype=extra["node_type"].dtype)
            part = Data(
                x=torch.cat([x[first:last], extra["x"]]),
                pos=torch.cat([pos[first:last], extra["pos"]]),
                node_type=torch.cat([cell, extra["node_type"]]),
                row=torch.cat([torch.arange(first, last), none]),
                edge_index=torch.stack([ptr2index(own - own[0]), col[some]]),
                edge_attr=length[some].unsqueeze(1),
            )
            out.append(ties(part))
        return out

    def _open(self):
        return open_safetensors(self.path, FORMAT, VERSION, self.key)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.path}')"


def part_tensors(parts: SpatialClusterData, cell_id: Tensor) -> dict[str, Tensor]:
    r"""Returns what a :class:`PartFile` keeps of subpatches.

    Args:
        parts (SpatialClusterData): The subpatches, whose cells carry :obj:`row`.
        cell_id (torch.Tensor): The row in the source of the cell of each :obj:`row` :math:`(N)`.

    **Shapes**, for :math:`N` cells, :math:`V` other nodes, :math:`E` edges within subpatches and
    :math:`P` subpatches:
        - :obj:`x`: :math:`(N, F)` float32, :obj:`pos`: :math:`(N, 2)`, :obj:`row` and :obj:`cell_id`:
          :math:`(N)` int64, subpatch by subpatch, and :obj:`extra_x`, :obj:`extra_pos`,
          :obj:`extra_node_type` of the other nodes :math:`(V)`
        - :obj:`edge_ptr`: :math:`(N + 1)` int64, :obj:`edge_col`: :math:`(E)` int32, counted within the
          subpatch, :obj:`edge_attr`: :math:`(E)` float32
        - :obj:`part_ptr`: :math:`(P + 1)` int64
    """
    cells, extra, partition = parts.data, parts.extra, parts.partition
    ptr, degrees, cols, lengths = partition.partptr, [], [], []
    length = cells.edge_attr.view(-1)
    for start in range(0, len(parts), PARTS_AT_ONCE):
        own = ptr[start : start + PARTS_AT_ONCE + 1]
        first, last = int(own[0]), int(own[-1])
        edge_ptr = partition.indptr[first : last + 1]
        edges = slice(int(edge_ptr[0]), int(edge_ptr[-1]))
        row, col = ptr2index(edge_ptr - edge_ptr[0]), partition.index[edges]
        part = ptr2index(own - first)
        inside = (col >= own[part[row]]) & (col < own[part[row] + 1])
        row, col = row[inside], col[inside]
        degrees.append(torch.bincount(row, minlength=last - first))
        cols.append((col - own[part[row]]).int())
        lengths.append(length[edges][inside])
    edge_ptr = torch.zeros(cells.num_nodes + 1, dtype=torch.long)
    edge_ptr[1:] = torch.cat(degrees).cumsum(0)
    return {
        "x": cells.x,
        "pos": cells.pos,
        "row": cells.row,
        "cell_id": cell_id[cells.row],
        "extra_x": extra.x,
        "extra_pos": extra.pos,
        "extra_node_type": extra.node_type,
        "edge_ptr": edge_ptr,
        "edge_col": torch.cat(cols),
        "edge_attr": torch.cat(lengths),
        "part_ptr": ptr,
    }
