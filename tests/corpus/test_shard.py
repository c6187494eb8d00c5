import pickle

import anndata
import pytest
import torch

from stofm_pyg.corpus import Shard
from stofm_pyg.data.slices.names import name_hashes


def test_properties(corpus, vocab):
    shard = corpus.shards[1]
    assert repr(shard) == f"Shard('b:x', cells=50, parts={shard.num_parts})"
    assert shard.file.endswith("b.h5ad") and len(shard.key) == 32
    assert shard.num_cells == 50 and shard.has_tokens
    assert shard.part_ptr.tolist() == shard.tensor("part_ptr").tolist()
    assert shard.part_ptr[0] == 0 and shard.part_ptr[-1] == 50
    assert shard.tokens().fingerprint == vocab.fingerprint and len(shard.tokens()) == 50
    assert shard.pos.shape == (50, 2) and shard.cell_id.unique().numel() == 50
    assert shard.order.sort().values.tolist() == list(range(50))
    names = anndata.read_h5ad(shard.file).obs_names
    hashes = torch.from_numpy(name_hashes(names))[shard.cell_id]
    assert torch.equal(hashes.argsort().argsort(), shard.order)
    types = {name: str(shard.tensor(name).dtype)[6:] for name in ("pos", "tokens", "ptr", "edge_col")}
    assert types == {"pos": "float64", "tokens": "int32", "ptr": "int64", "edge_col": "int32"}


def test_the_graph_is_symmetric_in_stored_order(corpus):
    shard = corpus.shards[0]
    ptr, col = shard.tensor("edge_ptr"), shard.tensor("edge_col").long()
    row = torch.arange(shard.num_cells).repeat_interleave(ptr.diff())
    distance = (shard.pos[row] - shard.pos[col]).norm(dim=1)
    torch.testing.assert_close(shard.tensor("edge_attr"), distance.float())
    edges = set(zip(row.tolist(), col.tolist(), strict=True))
    assert edges == {(j, i) for i, j in edges} and all(i != j for i, j in edges)
    near = torch.cdist(shard.pos, shard.pos) <= 2.5
    assert len(edges) == int(near.sum()) - shard.num_cells


def test_a_part_is_read_as_a_copy(corpus):
    shard = corpus.shards[0]
    part = shard.read("cell_id", 10, 15)
    assert torch.equal(part, shard.cell_id[10:15])
    assert part.untyped_storage().nbytes() == 5 * 8


def test_pickled(corpus):
    shard = corpus.shards[0]
    whole = shard.cell_id.clone()
    other = pickle.loads(pickle.dumps(shard))
    assert torch.equal(other.cell_id, whole)
    shard.close()
    assert torch.equal(shard.cell_id, whole)


def test_another_key_is_noticed(corpus):
    first, second = corpus.shards[:2]
    odd = Shard(first.entry, corpus.directory, first.fingerprint)
    odd.path = second.path
    with pytest.raises(ValueError, match=f"holds .*, expected .*{first.key}"):
        odd.tokens()
    odd.path = second.path.with_name("none.safetensors")
    with pytest.raises(FileNotFoundError, match="There is no file .*none"):
        odd.tokens()


def test_in_memory(corpus):
    there = corpus.shards[1]
    names = ("pos", "cell_id", "order", "edge_ptr", "edge_col", "edge_attr", "tokens", "ptr")
    shard = Shard(there.entry, {name: there.tensor(name) for name in names}, there.fingerprint)
    assert shard.path is None and repr(shard) == repr(there) and shard.key == there.key
    for name in names:
        assert torch.equal(shard.tensor(name), there.tensor(name)), name
    assert torch.equal(shard.read("pos", 3, 9), there.read("pos", 3, 9))
    assert torch.equal(shard.tokens().tokens, there.tokens().tokens)
    shard.close()
    assert torch.equal(pickle.loads(pickle.dumps(shard)).pos, there.pos)


def test_a_shard_without_tokens(feature_corpus):
    shard = feature_corpus.shards[0]
    assert not shard.has_tokens
    with pytest.raises(ValueError, match="'a' has no tokens: .* Run 'corpus build' with '--vocab'"):
        shard.tokens()
