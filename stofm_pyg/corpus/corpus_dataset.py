import os
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.features import has_features, open_features
from stofm_pyg.nn.node_type import NodeType

MAX_OPEN = 64


class CorpusDataset(Dataset):
    r"""All subpatches of all slices of a corpus; each is read from disk when it is asked for, without
    the rest of its slice.

    Item :obj:`[i]`, or :obj:`[i, draw]`, is a :class:`~torch_geometric.data.Data` as
    :class:`~stofm_pyg.loader.SpatialClusterData` gives it: :obj:`pos`, :obj:`node_type`,
    :obj:`cell_id`, :obj:`cluster` of cells and (last) virtual cells, and :obj:`edge_index` and
    :obj:`edge_attr` between its cells, with :obj:`name`, the name of its slice. Virtual cells have no
    edges until the transform ties them. Shards are opened in each process by itself.

    Args:
        corpus (Corpus): The corpus, or a selection of its slices.
        features (str or PathLike, optional): The folder where :meth:`write_features` keeps :obj:`x`
            of the cells. (default: :obj:`None`)
        tokens (bool, optional): Gives :obj:`tokens`, int64, of all cells one after another, and
            :obj:`lengths`, the number of each. (default: :obj:`False`)
        virtual_cells (bool, optional): Adds the virtual cells of the slice. (default: :obj:`True`)
        transform (Callable, optional): Applied to each item. What is random in it follows from the
            seed, :math:`i` and the draw alone: torch's global generator is seeded by them inside, and
            left as it was. (default: :obj:`None`)
        seed (int, optional): The seed. (default: :obj:`0`)

    **Shapes**, for :math:`P` subpatches:
        - :obj:`sizes`: :math:`(P)` int64, the number of nodes of each
        - :obj:`slice_of`: :math:`(P)` int64, the number of its slice in :obj:`corpus.shards`

    Raises:
        ValueError: The corpus is empty.
        FileNotFoundError: A slice has no features.
    """

    def __init__(
        self,
        corpus: Corpus,
        features: str | os.PathLike | None = None,
        tokens: bool = False,
        virtual_cells: bool = True,
        transform: Callable[[Data], Data] | None = None,
        seed: int = 0,
    ):
        if len(corpus) == 0:
            raise ValueError(f"'{corpus.directory}' has no slice (yet); run 'corpus build' to its end")
        self.corpus = corpus
        self.features = features
        self.tokens = tokens
        self.virtual_cells = virtual_cells
        self.transform = transform
        self.seed = seed
        shards = corpus.shards
        num_parts = torch.tensor([shard.num_parts for shard in shards])
        self.slice_of = torch.arange(len(shards)).repeat_interleave(num_parts)
        self._first = cumsum(num_parts)
        self.sizes = torch.cat([shard.part_ptr.diff() for shard in shards])
        if virtual_cells:
            self.sizes += torch.tensor([shard.num_virtual for shard in shards])[self.slice_of]
        if features is not None:
            lacking = [shard.name for shard in shards if not has_features(shard, features)]
            if lacking:
                raise FileNotFoundError(
                    f"'{features}' has no whole features of {len(lacking)} slices, e.g. '{lacking[0]}'; "
                    f"write them with 'write_features'"
                )
        self._opened = OrderedDict()

    def __len__(self) -> int:
        return self.sizes.numel()

    def __getitem__(self, index: int | tuple[int, int]) -> Data:
        index, draw = index if isinstance(index, tuple) else (index, 0)
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"Subpatch {index} of {len(self)}")
        index %= len(self)
        data = self._read(index)
        if self.transform is None:
            return data
        # A hash, since seeds that differ little make generators that are alike at first.
        sequence = np.random.SeedSequence([self.seed, index, int(draw)])
        # fork_rng would queue a call for CUDA each time; only the CPU's generator is in use here.
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
        try:
            return self.transform(data)
        finally:
            torch.set_rng_state(state)

    def _read(self, index: int) -> Data:
        number = int(self.slice_of[index])
        shard, features = self._open(number)
        start, end = shard.part_ptr[index - int(self._first[number]) :][:2].tolist()
        cells = {name: shard.read(name, start, end) for name in ("pos", "cell_id", "cluster")}
        cells["node_type"] = torch.full((end - start,), NodeType.CELL, dtype=torch.uint8)
        if features is not None:
            cells["x"] = features.get_slice("x")[start:end].clone()
        if self.virtual_cells:
            size = shard.num_virtual
            virtual = {
                "pos": shard.read("virtual_pos", 0, size),
                "cell_id": torch.full((size,), -1),
                "cluster": torch.arange(size),
                "node_type": torch.full((size,), NodeType.VIRTUAL, dtype=torch.uint8),
            }
            if features is not None:
                virtual["x"] = features.get_slice("virtual_x")[:].clone()
            cells = {name: torch.cat([value, virtual[name]]) for name, value in cells.items()}
        edge_index, edge_attr = _edges(shard, start, end)
        data = Data(**cells, edge_index=edge_index, edge_attr=edge_attr)
        data.name = shard.name
        if self.tokens:
            ptr = shard.read("ptr", start, end + 1)
            data.tokens = shard.read("tokens", int(ptr[0]), int(ptr[-1])).long()
            data.lengths = ptr.diff()
        return data

    def _open(self, number: int):
        if number in self._opened:
            self._opened.move_to_end(number)
            return self._opened[number]
        shard = self.corpus.shards[number]
        features = None if self.features is None else open_features(shard, self.features)
        self._opened[number] = shard, features
        if len(self._opened) > MAX_OPEN:
            self._opened.popitem(last=False)[1][0].close()
        return shard, features

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": OrderedDict()}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)} subpatches, {self.corpus})"


def _edges(shard, start: int, end: int) -> tuple[Tensor, Tensor]:
    ptr = shard.read("edge_ptr", start, end + 1)
    first, last = ptr[[0, -1]].tolist()
    col = shard.read("edge_col", first, last)
    row = torch.arange(end - start).repeat_interleave(ptr.diff())
    inside = ((col >= start) & (col < end)).nonzero().view(-1)
    # Once by number: a mask would be searched for each of the three.
    edge_index = torch.stack([row[inside], col[inside].long() - start])
    return edge_index, shard.read("edge_attr", first, last)[inside].unsqueeze(-1)
