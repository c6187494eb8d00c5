from itertools import pairwise

import pytest
import torch

from stofm_pyg.corpus import CorpusDataset, FeatureStore
from stofm_pyg.models.features import SpatialSignal, TokenFeatures
from stofm_pyg.nn import NodeType
from stofm_pyg.train.pretraining.features import encode_corpus, fit_feature_scale, some_cells, some_parts
from tests.cell_encoders import make_encoder
from tests.train.pretrain_case import make_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("tissue"), num_slices=2)


@pytest.fixture
def encoder(corpus):
    return make_encoder(vocab_size=len(corpus.vocab), max_length=9)


def test_each_cell_has_its_embedding_and_each_cluster_its_mean(corpus, encoder, tmp_path):
    store = encode_corpus(TokenFeatures(encoder, corpus.vocab), corpus, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert store.directory == folder and len(list(folder.iterdir())) == 2
    dataset = CorpusDataset(corpus, store, tokens=True)
    data = dataset[len(dataset) - 1]
    cells = data.node_type == NodeType.CELL
    shard = corpus.shards[1]
    x = encoder.encode(shard.tokens().truncate(9))
    assert torch.allclose(data.x[cells], x[shard.part_ptr[-2] :], atol=1e-6)
    cluster = store.open(shard).get_tensor("cluster")
    assert int((~cells).sum()) == int(cluster.max()) + 1 > 1
    for number, virtual in enumerate(data.x[~cells]):
        assert torch.allclose(virtual, x[cluster == number].mean(dim=0), atol=1e-5)


def test_standardised_features_and_others_have_folders_of_their_own(corpus, encoder, tmp_path):
    plain = encode_corpus(TokenFeatures(encoder, corpus.vocab), corpus, tmp_path)
    features = TokenFeatures(encoder, corpus.vocab, standardize=True)
    standardised = encode_corpus(features, corpus, tmp_path)
    assert plain.directory != standardised.directory
    for shard in corpus.shards:
        x, other = (store.open(shard).get_tensor("x") for store in (plain, standardised))
        centred = x - x.mean(dim=0)
        assert torch.allclose(other, centred / centred.square().mean().sqrt(), atol=1e-5)
    kept = encode_corpus(TokenFeatures(encoder, corpus.vocab), corpus)
    assert kept.directory is None
    assert torch.equal(kept.open(shard).get_tensor("x"), x)


def test_nothing_is_encoded_twice(corpus, encoder, tmp_path, monkeypatch):
    features = TokenFeatures(encoder, corpus.vocab)
    encode_corpus(features, corpus, tmp_path, share=(0, 2))
    calls = []
    monkeypatch.setattr(FeatureStore, "write", lambda self, shard, x: calls.append(shard.name))
    encode_corpus(features, corpus, tmp_path)
    assert calls == [corpus.shards[1].name]


def test_another_vocabulary(corpus, tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        encode_corpus(TokenFeatures(make_encoder(vocab_size=7)), corpus, tmp_path)


def test_scale(corpus, encoder):
    encoder.scale = fit_feature_scale(encoder, corpus, num_cells=10_000)
    parts = [encoder.encode(shard.tokens().truncate(9)) for shard in corpus.shards]
    size = encoder.out_channels
    assert torch.allclose(torch.cat(parts).mean(dim=0), torch.zeros(size), atol=1e-4)
    # Uncorrelated within a slice, with what neighbours share as variances, one on average.
    within = torch.cat([part - part.mean(dim=0) for part in parts])
    covariance = within.t() @ within / (len(within) - 1)
    variance = covariance.diagonal()
    assert torch.allclose(covariance, torch.diag(variance), atol=1e-2)
    pos = [shard.pos for shard in corpus.shards]
    centred = [part - part.mean(dim=0) for part in parts]
    moran = SpatialSignal(zip(centred, pos, strict=True)).moran
    assert torch.allclose(variance.double(), moran / moran.mean(), atol=1e-3)
    with pytest.raises(ValueError, match="has a scale already"):
        fit_feature_scale(encoder, corpus)


def test_some_cells(corpus):
    shard = corpus.shards[0]
    draw = [some_cells(shard, 0.1, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert len(draw[0]) == 9 and draw[0].fingerprint == corpus.vocab.fingerprint
    assert torch.equal(draw[0].tokens, draw[1].tokens)
    assert not torch.equal(draw[0].tokens, draw[2].tokens)
    assert torch.equal(some_cells(shard, 1.0, torch.Generator()).tokens, shard.tokens().tokens)


def test_some_parts(corpus):
    shard = corpus.shards[0]
    chosen = some_parts(shard, 0.34, torch.Generator().manual_seed(0))
    ends = shard.part_ptr.tolist()
    assert chosen.tolist() in [list(range(*pair)) for pair in pairwise(ends)]
    assert some_parts(shard, 1.0, torch.Generator()).tolist() == list(range(90))
