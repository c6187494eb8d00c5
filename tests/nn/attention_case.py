"""What the tests of attention share: pair representations, references, and a look at memory."""

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention.flex_attention import AuxOutput
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import stofm_pyg.nn.attention.fused_attention
import stofm_pyg.nn.attention.row_blocks
import stofm_pyg.nn.gaussian_distance
import stofm_pyg.nn.pair_representation
from stofm_pyg.nn import NodeType, PairRepresentation
from tests.random_batch import random_batch

FAST = ("dense", "blocked", "fused")
#: FlexAttention says on a CPU that it is slow there.
FLEX_WARNING = "ignore:flex_attention called without torch.compile"
#: Cells, CLS, virtual cells and padding, of which some is not at the end.
SPECIAL = (3, 1, 2, 2, 3)


def cut_blocks(monkeypatch, rows=2):
    """Many small blocks, and distances encoded a few at a time."""
    monkeypatch.setattr(stofm_pyg.nn.attention.row_blocks, "MIN_ROWS", rows)
    monkeypatch.setattr(stofm_pyg.nn.pair_representation, "BLOCK_BYTES", {"cpu": 1})
    monkeypatch.setattr(stofm_pyg.nn.gaussian_distance, "CHUNK", {"cpu": 7})


def plain_flex_attention(query, key, value, score_mod, scale, return_aux):
    """What FlexAttention computes. It compiles anew for every shape, which takes long in tests."""
    head, row = (torch.arange(size).view(-1, 1) for size in query.shape[1:3])
    score = scale * query @ key.mT
    score = score_mod(score, 0, head.unsqueeze(-1), row, torch.arange(key.size(2)))
    return score.softmax(dim=-1) @ value, AuxOutput(lse=score.logsumexp(dim=-1))


def use_plain_flex_attention(monkeypatch):
    monkeypatch.setattr(stofm_pyg.nn.attention.fused_attention, "flex_attention", plain_flex_attention)


def random_pair(
    sizes=(7, 4, 2), special=SPECIAL, heads=2, evaluator="auto", dtype=torch.float64, seed=0
):
    """A pair representation before the first layer, its bias of edges and of far pairs random."""
    data = random_batch(sizes=sizes, special=special, seed=seed)
    edge_index = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    generator = torch.Generator().manual_seed(seed)
    bias = torch.randn(edge_index.size(1), heads, generator=generator, dtype=torch.float64)
    far = torch.randn(heads, generator=generator, dtype=torch.float64)
    return PairRepresentation(
        edge_index, bias.to(dtype), far.to(dtype), data.num_nodes, data.batch, data.node_type, evaluator
    )


def random_layers(pair, *channels, seed=0):
    """Queries, keys and values of layers of so many channels."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(
            3, pair.heads, pair.num_nodes, size, generator=generator, dtype=torch.float64
        ).to(pair.far.dtype)
        for size in channels
    ]  # fmt: skip


def valid_nodes(pair):
    return pair.node_type != NodeType.PADDING


def logits_by_pairs(pair):
    """The logits `(H, N, N)` pair by pair; none across subpatches or towards padding."""
    index = pair.all_pairs()
    logits = pair.far.new_full((pair.heads, pair.num_nodes, pair.num_nodes), -torch.inf)
    place = (torch.arange(pair.heads).view(-1, 1), index[1], index[0])
    return logits.index_put(place, pair.pairs(index).t())


def attention_by_pairs(pair, value):
    """Attention of the last layer that was appended, as the equation is written."""
    return logits_by_pairs(pair).softmax(dim=-1).nan_to_num(0.0) @ value


def assert_near(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape and expected.isfinite().all()
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


class Memory(TorchDispatchMode):
    """Notes the largest tensor that is made inside, and the most bytes held at a time."""

    def __init__(self):
        super().__init__()
        self.largest, self.peak = 0, 0
        self._held = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {storage._cdata for storage in _storages((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in _storages(out):
            if storage._cdata not in known:
                self.largest = max(self.largest, storage.nbytes())
                self._held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._held.values()))
        return out


def _storages(tree):
    return [x.untyped_storage() for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]
