from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data
from torch_geometric.utils import cumsum

from stofm_pyg._seeds import seeded_draw
from stofm_pyg.corpus.corpus import Corpus
from stofm_pyg.corpus.feature_store import FeatureStore
from stofm_pyg.nn.node_type import NodeType

MAX_OPEN = 64


class CorpusDataset(Dataset):
    r"""All subpatches of all slices of a corpus; each is read when it is asked for, without the rest of
    its slice.

    Item :obj:`[i]`, or :obj:`[i, draw]`, is a :class:`~torch_geometric.data.Data` as
    :class:`~stofm_pyg.loader.SpatialClusterData` gives it: :obj:`pos`, :obj:`node_type`,
    :obj:`cell_id`, :obj:`cluster` of cells and (last) virtual cells, and :obj:`edge_index` and
    :obj:`edge_attr` between its cells, with :obj:`name`, the name of its slice. Virtual cells have no
    edges until the transform ties them. Shards are opened in each process by itself.

    Args:
        corpus (Corpus): The corpus, or a selection of its slices.
        features (FeatureStore, optional): What keeps :obj:`x` and :obj:`cluster` of the cells, and the
            virtual cells; without, there are none. (default: :obj:`None`)
        tokens (bool, optional): Gives :obj:`tokens`, int64, of all cells one after another, and
            :obj:`lengths`, the number of each. (default: :obj:`False`)
        virtual_cells (bool, optional): Adds the virtual cells of the slice. (default: :obj:`True`)
        transform (Callable, optional): Applied to each item. What is random in it follows from the
            seed, :math:`i` and the draw alone: torch's global generator is seeded by them inside, and
            left as it was. (default: :obj:`None`)
        seed (int, optional): The seed. (default: :obj:`0`)
        rings (bool, optional): Gives :obj:`rings` :math:`(N, R, F)`, the mean features of rings around
            each cell, which :meth:`FeatureStore.write_rings` made. (default: :obj:`False`)

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
        features: FeatureStore | None = None,
        tokens: bool = False,
        virtual_cells: bool = True,
        transform: Callable[[Data], Data] | None = None,
        seed: int = 0,
        rings: bool = False,
    ):
        if len(corpus) == 0:
            raise ValueError(f"'{corpus.directory}' has no slice (yet); run 'corpus build' to its end")
        self.corpus = corpus
        self.transform = transform
        self.seed = seed
        shards = corpus.shards
        if features is not None:
            lacking = [shard.name for shard in shards if not features.has(shard)]
            if lacking:
                raise FileNotFoundError(
                    f"{features} has no whole features of {len(lacking)} slices, e.g. '{lacking[0]}'; "
                    f"write them first"
                )
        self.slices = CorpusSlices(corpus, features, tokens, virtual_cells, rings)
        num_parts = torch.tensor([shard.num_parts for shard in shards])
        self.slice_of = torch.arange(len(shards)).repeat_interleave(num_parts)
        self._first = cumsum(num_parts)
        self.sizes = torch.cat([shard.part_ptr.diff() for shard in shards])
        self.sizes += torch.tensor([item.num_others for item in self.slices])[self.slice_of]

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
        with seeded_draw(self.seed, index, int(draw)):
            return self.transform(data)

    def _read(self, index: int) -> Data:
        number = int(self.slice_of[index])
        shard = self.corpus.shards[number]
        start, end = shard.part_ptr[index - int(self._first[number]) :][:2].tolist()
        data = self.slices[number].take(slice(start, end))
        data.edge_index, data.edge_attr = _edges(shard, start, end)
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)} subpatches, {self.corpus})"


class CorpusSlices:
    r"""The slices of a corpus, from which :class:`~stofm_pyg.loader.RandomRegions` takes regions.

    The arguments are those of :class:`CorpusDataset`.
    """

    def __init__(
        self,
        corpus: Corpus,
        features: FeatureStore | None = None,
        tokens: bool = False,
        virtual_cells: bool = True,
        rings: bool = False,
    ):
        self.corpus = corpus
        self.features = features
        self.tokens = tokens
        self.rings = rings and features is not None
        self.virtual_cells = virtual_cells and features is not None
        self._opened: OrderedDict = OrderedDict()

    def opened(self, number: int):
        r"""Returns a shard, its features, its tokens and its rings, opened."""
        if number in self._opened:
            self._opened.move_to_end(number)
            return self._opened[number]
        shard = self.corpus.shards[number]
        features = None if self.features is None else self.features.open(shard)
        rings = self.features.open_rings(shard) if self.rings else None
        self._opened[number] = shard, features, shard.tokens() if self.tokens else None, rings
        if len(self._opened) > MAX_OPEN:
            self._opened.popitem(last=False)[1][0].close()
        return self._opened[number]

    def __getitem__(self, number: int) -> "CorpusSlice":
        if not 0 <= number < len(self):
            raise IndexError(f"Slice {number} of {len(self)}")
        return CorpusSlice(self, number)

    def __len__(self) -> int:
        return len(self.corpus)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": OrderedDict()}


class CorpusSlice:
    r"""A slice of a corpus, some cells of which are read at a time.

    Args:
        slices (CorpusSlices): All slices.
        number (int): The number of the slice.
    """

    def __init__(self, slices: CorpusSlices, number: int):
        self.slices, self.number = slices, number
        self.num_cells = slices.corpus.shards[number].num_cells
        self.num_others = 0
        if slices.virtual_cells:
            self.num_others = len(slices.opened(number)[1].get_tensor("virtual_pos"))

    def positions(self) -> np.ndarray:
        r"""Returns the positions of all cells :math:`(N, 2)`."""
        return self.slices.opened(self.number)[0].pos.numpy()

    def take(self, rows: Tensor | slice) -> Data:
        r"""Returns some cells of the slice and its virtual cells, without edges."""
        shard, features, tokens, rings = self.slices.opened(self.number)
        # A copy: what is mapped would take its whole file along to another process.
        nodes = {name: shard.tensor(name)[rows].clone() for name in ("pos", "cell_id")}
        nodes["pos"] = nodes["pos"].float()
        size = nodes["pos"].size(0)
        nodes["node_type"] = torch.full((size,), NodeType.CELL, dtype=torch.uint8)
        if features is not None:
            nodes |= {name: features.get_tensor(name)[rows].clone() for name in ("x", "cluster")}
        if rings is not None:
            nodes["rings"] = rings[rows].clone()
        if self.slices.virtual_cells:
            virtual = self._virtual(features)
            if rings is not None:
                virtual["rings"] = rings.new_zeros(self.num_others, *rings.shape[1:])
            nodes = {name: torch.cat([value, virtual[name]]) for name, value in nodes.items()}
        data = Data(**nodes)
        data.name = shard.name
        if tokens is not None:
            cells = tokens[rows]
            data.tokens, data.lengths = cells.tokens.long(), cells.lengths
        return data

    def _virtual(self, features) -> dict[str, Tensor]:
        pos = features.get_tensor("virtual_pos").float()
        return {
            "x": features.get_tensor("virtual_x").clone(),
            "pos": pos,
            "cell_id": torch.full((len(pos),), -1),
            "cluster": torch.arange(len(pos)),
            "node_type": torch.full((len(pos),), NodeType.VIRTUAL, dtype=torch.uint8),
        }


def _edges(shard, start: int, end: int) -> tuple[Tensor, Tensor]:
    ptr = shard.read("edge_ptr", start, end + 1)
    first, last = ptr[[0, -1]].tolist()
    col = shard.read("edge_col", first, last)
    row = torch.arange(end - start).repeat_interleave(ptr.diff())
    inside = ((col >= start) & (col < end)).nonzero().view(-1)
    # Once by number: a mask would be searched for each of the three.
    edge_index = torch.stack([row[inside], col[inside].long() - start])
    return edge_index, shard.read("edge_attr", first, last)[inside].unsqueeze(-1)
