import sys

import pytest
import torch

from stofm_pyg.corpus import CorpusDataset
from stofm_pyg.nn import NodeType
from stofm_pyg.train.pretraining.features import encode_corpus, fit_feature_scale, some_cells
from tests.cell_encoders import make_encoder
from tests.train.pretrain_case import make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("tissue"), num_slices=2)


@pytest.fixture
def encoder(corpus):
    return make_encoder(vocab_size=len(corpus.vocab), max_length=9)


def test_each_cell_has_its_embedding_and_each_cluster_its_mean(corpus, encoder, tmp_path):
    folder = encode_corpus(encoder, corpus, tmp_path)
    assert folder == tmp_path / encoder.fingerprint()[:16]
    dataset = CorpusDataset(corpus, folder, tokens=True)
    data = dataset[len(dataset) - 1]
    cells = data.node_type == NodeType.CELL
    shard = corpus.shards[1]
    x = encoder.encode(shard.tokens().truncate(9))
    assert torch.allclose(data.x[cells], x[shard.part_ptr[-2] :], atol=1e-6)
    for cluster in range(shard.num_virtual):
        mean = x[shard.cluster == cluster].mean(dim=0)
        assert torch.allclose(data.x[~cells][cluster], mean, atol=1e-5)


def test_nothing_is_encoded_twice(corpus, encoder, tmp_path, monkeypatch):
    encode_corpus(encoder, corpus, tmp_path, share=(0, 2))
    calls = []
    module = sys.modules["stofm_pyg.train.pretraining.features"]
    monkeypatch.setattr(module, "write_features", lambda shard, *rest: calls.append(shard.name))
    encode_corpus(encoder, corpus, tmp_path)
    assert calls == [corpus.shards[1].name]


def test_another_vocabulary(corpus, tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        encode_corpus(make_encoder(vocab_size=7), corpus, tmp_path)


def test_scale(corpus, encoder):
    encoder.scale = fit_feature_scale(encoder, corpus, num_cells=10_000)
    parts = [encoder.encode(shard.tokens().truncate(9)) for shard in corpus.shards]
    assert torch.allclose(torch.cat(parts).mean(dim=0), torch.zeros(6), atol=1e-4)
    within = torch.stack([part.var(dim=0, correction=0) for part in parts]).mean(dim=0)
    assert torch.allclose(within, torch.ones(6), atol=1e-3)
    with pytest.raises(ValueError, match="has a scale already"):
        fit_feature_scale(encoder, corpus)


def test_some_cells(corpus):
    shard = corpus.shards[0]
    draw = [some_cells(shard, 0.1, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert len(draw[0]) == 9 and draw[0].fingerprint == corpus.vocab.fingerprint
    assert torch.equal(draw[0].tokens, draw[1].tokens)
    assert not torch.equal(draw[0].tokens, draw[2].tokens)
    assert torch.equal(some_cells(shard, 1.0, torch.Generator()).tokens, shard.tokens().tokens)
