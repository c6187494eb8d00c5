from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from stofm_pyg._seeds import mixed_seed, seeded_draw
from stofm_pyg.nn.node_type import NodeType, node_types
from stofm_pyg.transforms.check_positions import check_coordinates

MAX_TREES = 64


class RegionSource(Protocol):
    r"""A slice that regions can be taken from, wherever its cells are."""

    num_cells: int
    num_others: int

    def positions(self) -> np.ndarray:
        r"""Returns the positions of all cells :math:`(N, 2)`."""

    def take(self, rows: Tensor) -> Data:
        r"""Returns some cells and all other nodes of the slice, without edges."""


class RandomRegions(Dataset):
    r"""Random contiguous regions of slices, so that training never sees the same subpatch twice.

    A region is the cells nearest to a random cell, together with the slice's virtual cells. In a pass
    each slice has about as many regions as it takes to cover it, around cells from everywhere in it.

    Item :obj:`[i]`, or :obj:`[i, draw]` in another pass, depends on the seed and these numbers alone. A
    plain :class:`~torch.utils.data.DataLoader` asks for the same items in each pass, unless it is given
    :meth:`sampler`.

    Args:
        slices (sequence of Data or RegionSource): The slices.
        min_cells (int, optional): The smallest number of cells in a region. (default: :obj:`150`)
        max_cells (int, optional): The largest. (default: :obj:`500`)
        transform (Callable, optional): Applied to each region. Regions come without edges, so it
            builds the graph. What is random in it is seeded as well: torch's global generator, which is
            left as it was. (default: :obj:`None`)
        seed (int, optional): The seed. (default: :obj:`0`)

    **Shapes**, for :math:`R` regions of a pass:
        - :obj:`sizes`: :math:`(R)` int64, the expected number of nodes of each
        - :obj:`slice_of`: :math:`(R)` int64, the number of its slice

    Raises:
        TypeError: It is one slice, and no list.
        ValueError: There is no slice, or one without a cell, or the sizes are out of order.
    """

    def __init__(
        self,
        slices: Sequence[Data | RegionSource],
        min_cells: int = 150,
        max_cells: int = 500,
        transform: Callable[[Data], Data] | None = None,
        seed: int = 0,
    ):
        if not 1 <= min_cells <= max_cells:
            raise ValueError(
                f"'min_cells' and 'max_cells' must be ordered and positive (got {min_cells} and "
                f"{max_cells})"
            )
        if isinstance(slices, Data):
            raise TypeError("Expected several slices, got one; pass a list of it")
        if not slices:
            raise ValueError("No slices to take regions from; pass at least one")
        self.sources = [_InMemory(item) if isinstance(item, Data) else item for item in slices]
        self.min_cells = min_cells
        self.max_cells = max_cells
        self.transform = transform
        self.seed = seed
        mean = (min_cells + max_cells) / 2
        cells = [source.num_cells for source in self.sources]
        if min(cells) == 0:
            raise ValueError(f"Slice {cells.index(0)} is empty: it has no cell; leave it out")
        count = torch.tensor([max(1, round(number / mean)) for number in cells])
        self.slice_of = torch.arange(len(cells)).repeat_interleave(count)
        self._first = cumsum(count)
        size = [min(round(mean), source.num_cells) + source.num_others for source in self.sources]
        self.sizes = torch.tensor(size)[self.slice_of]
        self._trees: OrderedDict[int, cKDTree] = OrderedDict()

    def __len__(self) -> int:
        return self.slice_of.numel()

    def __getitem__(self, index: int | tuple[int, int]) -> Data:
        index, draw = index if isinstance(index, tuple) else (index, 0)
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(f"Region {index} of {len(self)}")
        with seeded_draw(self.seed, index, int(draw)):
            data = self._region(index)
            return data if self.transform is None else self.transform(data)

    def sampler(self, shuffle: bool = True) -> Sampler:
        r"""Returns what a loader takes as its sampler, which names other items at each pass.

        Args:
            shuffle (bool, optional): Shuffle anew at every pass. (default: :obj:`True`)

        Example:
            >>> loader = DataLoader(regions, sampler=regions.sampler(), batch_size=4)
        """
        return _Passes(len(self), shuffle, self.seed)

    def _region(self, index: int) -> Data:
        which = int(self.slice_of[index])
        source, tree = self.sources[which], self._tree(which)
        # The k-th region lies around a cell of the k-th stretch of rows.
        first, last = self._first[which : which + 2].tolist()
        low, high = ((index - first + end) * source.num_cells // (last - first) for end in (0, 1))
        center = low + int(torch.randint(max(1, high - low), ()))
        count = int(torch.randint(self.min_cells, self.max_cells + 1, ()))
        count = min(count, source.num_cells)
        _, near = tree.query(tree.data[center], k=[*range(1, count + 1)])
        return source.take(torch.from_numpy(np.sort(near)))

    def _tree(self, which: int) -> cKDTree:
        if which in self._trees:
            self._trees.move_to_end(which)
        else:
            self._trees[which] = cKDTree(self.sources[which].positions())
            if len(self._trees) > MAX_TREES:
                self._trees.popitem(last=False)
        return self._trees[which]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_trees": OrderedDict()}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)}, slices={len(self.sources)})"


class _Passes(Sampler):
    def __init__(self, length: int, shuffle: bool, seed: int):
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.draw = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        draw, self.draw = self.draw, self.draw + 1
        generator = torch.Generator().manual_seed(mixed_seed([self.seed, draw]))
        order = torch.randperm(self.length, generator=generator).tolist()
        for index in order if self.shuffle else range(self.length):
            yield index, draw

    def __len__(self) -> int:
        return self.length


class _InMemory:
    def __init__(self, data: Data):
        check_coordinates(data.pos)
        node_type = node_types(data)
        of_nodes = [key for key in data.node_attrs() if isinstance(data[key], Tensor)]
        self.data = Data(**{**{key: data[key] for key in of_nodes}, "node_type": node_type})
        self.cells = (node_type == NodeType.CELL).nonzero().view(-1)
        self.others = (node_type != NodeType.CELL).nonzero().view(-1)
        self.num_cells, self.num_others = self.cells.numel(), self.others.numel()

    def positions(self) -> np.ndarray:
        return self.data.pos[self.cells].double().numpy()

    def take(self, rows: Tensor) -> Data:
        nodes = torch.cat([self.cells[rows], self.others])
        return Data(**{key: value[nodes] for key, value in self.data.to_dict().items()})
