from collections.abc import Callable, Sequence

import torch
from scipy.spatial import cKDTree
from torch.utils.data import Dataset
from torch_geometric.data import Data

from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.transforms._positions import node_types


class RandomRegions(Dataset):
    r"""Random contiguous regions of slices, so that training never sees the same subpatch twice.

    A region is the cells nearest to a random cell, some of which are left out, together with the
    slice's virtual cells, at a slightly changed scale. Item :math:`i` depends on the seed and
    :math:`i` alone.

    Args:
        slices (sequence of Data): The slices. One is chosen in proportion to its number of cells.
        length (int): How many regions there are.
        min_cells (int, optional): The smallest number of cells in a region. (default: :obj:`150`)
        max_cells (int, optional): The largest. (default: :obj:`500`)
        drop_rate (float, optional): The share of a region's cells that is left out.
            (default: :obj:`0.15`)
        scale (float, optional): Positions of a region are scaled by a random factor between one minus
            and one plus this. (default: :obj:`0.1`)
        transform (Callable, optional): Applied to each region. Regions come without edges, so it
            builds the graph. (default: :obj:`None`)
        seed (int, optional): The seed. It also seeds torch's global generator inside the transform,
            without touching it outside. (default: :obj:`0`)
    """

    def __init__(
        self,
        slices: Sequence[Data],
        length: int,
        min_cells: int = 150,
        max_cells: int = 500,
        drop_rate: float = 0.15,
        scale: float = 0.1,
        transform: Callable[[Data], Data] | None = None,
        seed: int = 0,
    ):
        if not 1 <= min_cells <= max_cells:
            raise ValueError(
                f"'min_cells' and 'max_cells' must be ordered and positive (got {min_cells} and "
                f"{max_cells})"
            )
        if not 0 <= drop_rate < 1:
            raise ValueError(f"'drop_rate' must lie in [0, 1) (got {drop_rate})")
        if not 0 <= scale < 1:
            raise ValueError(f"'scale' must lie in [0, 1) (got {scale})")
        if not slices:
            raise ValueError("No slices to take regions from; pass at least one")
        self.slices = [_bare(data) for data in slices]
        self.cells = [(data.node_type == NodeType.CELL).nonzero().view(-1) for data in self.slices]
        self.trees = [
            cKDTree(data.pos[cells].double().numpy())
            for data, cells in zip(self.slices, self.cells, strict=True)
        ]
        self.weight = torch.tensor([float(cells.numel()) for cells in self.cells])
        self.length = length
        self.min_cells = min_cells
        self.max_cells = max_cells
        self.drop_rate = drop_rate
        self.scale = scale
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, idx: int) -> Data:
        if not 0 <= idx < self.length:
            raise IndexError(f"Region {idx} of {self.length}")
        # fork_rng would queue a call for CUDA each time; only the CPU's generator is in use here.
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(self.seed * 1_000_003 + idx)
        try:
            data = self._region()
            return data if self.transform is None else self.transform(data)
        finally:
            torch.set_rng_state(state)

    def _region(self) -> Data:
        which = int(torch.multinomial(self.weight, 1))
        data, cells, tree = self.slices[which], self.cells[which], self.trees[which]
        count = min(int(torch.randint(self.min_cells, self.max_cells + 1, ())), cells.numel())
        center = int(torch.randint(cells.numel(), ()))
        _, near = tree.query(tree.data[center], k=[*range(1, count + 1)])
        kept = torch.rand(count) >= self.drop_rate
        kept[0] = True
        nodes = cells[torch.from_numpy(near)[kept].sort().values]
        others = (data.node_type != NodeType.CELL).nonzero().view(-1)
        nodes = torch.cat([nodes, others])
        factor = 1 + self.scale * (2 * torch.rand(()) - 1)
        return Data(x=data.x[nodes], pos=data.pos[nodes] * factor, node_type=data.node_type[nodes])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.length}, slices={len(self.slices)})"


def _bare(data: Data) -> Data:
    return Data(x=data.x, pos=data.pos, node_type=node_types(data))
