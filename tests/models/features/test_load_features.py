"""All kinds of features: saved, loaded, refused."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.data import GeneVocab, RankValueTokenizer
from stofm_pyg.models.features import (
    FEATURES,
    Features,
    GivenFeatures,
    ObsmFeatures,
    PCAFeatures,
    TokenFeatures,
    load_features,
)
from stofm_pyg.nn import NodeType
from tests.cell_encoders import make_encoder
from tests.models.fit_case import make_tissue


@pytest.fixture(scope="module")
def adata():
    adata = make_tissue(num_slices=1)
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(100, 4)) + 3
    return adata


@pytest.fixture(scope="module")
def vocab(adata):
    return GeneVocab.from_slices([adata])


def make(name, adata, vocab, **kwargs):
    if name == "tokens":
        encoder = make_encoder(vocab_size=len(vocab), vocab_fingerprint=vocab.fingerprint)
        return TokenFeatures(encoder, vocab, **kwargs)
    return {
        "pca": lambda: PCAFeatures.fit([adata], 5),
        "obsm": lambda: ObsmFeatures.fit([adata], "X_own"),
        "given": lambda: GivenFeatures(np.array([1.0, 2.0, 3.0])),
    }[name]()


@pytest.mark.parametrize("name", list(FEATURES))
def test_saved_and_loaded(adata, vocab, tmp_path, name):
    features = make(name, adata, vocab)
    features.save(tmp_path)
    loaded = load_features(tmp_path)
    assert type(loaded) is FEATURES[name] and loaded.fingerprint() == features.fingerprint()
    assert loaded.num_features == features.num_features and repr(loaded) == repr(features)
    if name != "given":
        assert torch.equal(loaded.encode(adata), features.encode(adata))


def test_damaged_files(adata, vocab, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no 'features.json'; copy the model again"):
        load_features(tmp_path)
    make("pca", adata, vocab).save(tmp_path)
    (tmp_path / "features.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="features.safetensors' is damaged"):
        load_features(tmp_path)
    (tmp_path / "features.json").write_text('{"name": "pca", "more": 1}')
    make("obsm", adata, vocab).save(tmp_path / "b")
    (tmp_path / "b" / "features.json").write_text('{"name": "obsm"}')
    with pytest.raises(ValueError, match="is damaged or of another release"):
        load_features(tmp_path / "b")
    make("tokens", adata, vocab).save(tmp_path / "c")
    (tmp_path / "c" / "cell_encoder").rename(tmp_path / "c" / "other")
    with pytest.raises(FileNotFoundError, match="has 'features.json' but no 'cell_encoder'"):
        load_features(tmp_path / "c")


def test_an_embedding_is_centred_and_scaled(adata):
    features = ObsmFeatures.fit([adata], "X_own")
    x = features.encode(adata)
    own = adata.obsm["X_own"]
    np.testing.assert_allclose(x.numpy(), (own - own.mean(axis=0)) * features.factor, atol=1e-5)
    assert features.obsm == "X_own" and features.num_features == 4
    other = adata.copy()
    other.obsm["X_own"] = own[:, :3]
    with pytest.raises(ValueError, match="has 3 features, the model was fitted to 4; make them as then"):
        features.encode(other)
    with pytest.raises(ValueError, match="has 3 and 4 features in different slices"):
        ObsmFeatures.fit([adata, other], "X_own")


def make_data(seed=0):
    generator = torch.Generator().manual_seed(seed)
    kind = torch.tensor([NodeType.CELL] * 20 + [NodeType.VIRTUAL] * 2, dtype=torch.uint8)
    x = torch.randn(22, 3, generator=generator) + 5
    x[20], x[21] = x[:20].mean(dim=0), x[:4].mean(dim=0)
    return Data(x=x, pos=torch.rand(22, 2, generator=generator), node_type=kind)


def test_what_slices_bring_along():
    data = make_data()
    before = data.x.clone()
    features = GivenFeatures(np.array([1.0, 2.0, 0.0]))
    out = features.encode_data(data)
    mean = before[:20].mean(dim=0)
    assert torch.equal(data.x, before)
    assert torch.allclose(out.x, (before - mean) * torch.tensor([1.0, 2.0, 0.0]), atol=1e-5)
    # A virtual cell stays the mean of its cells.
    assert torch.allclose(out.x[20], torch.zeros(3), atol=1e-5)
    assert torch.allclose(out.x[21], out.x[:4].mean(dim=0), atol=1e-5)
    unchanged = GivenFeatures.unchanged(3)
    assert torch.equal(unchanged.encode_data(data).x, before)
    assert unchanged.fingerprint() != GivenFeatures(np.ones(3)).fingerprint()
    with pytest.raises(ValueError, match="has 3 features, the model was fitted to 2"):
        GivenFeatures.unchanged(2).encode_data(data)


def test_given_features_are_scaled_over_all_slices():
    slices = [make_data(0), make_data(1)]
    slices[1].x = 100 * slices[1].x
    factor = GivenFeatures.fit(slices).factor
    assert factor.shape == (3,) and float(factor.max()) < 0.1
    slices[1].x = slices[1].x[:, :2]
    with pytest.raises(ValueError, match="have 2 and 3 features; compute them together"):
        GivenFeatures.fit(slices)
    with pytest.raises(ValueError, match="which an AnnData does not have"):
        GivenFeatures(factor).encode(make_tissue(1))


def test_tokens(adata, vocab):
    features = make("tokens", adata, vocab)
    encoder = features.cell_encoder
    expected = encoder.encode(RankValueTokenizer(vocab, 16)(adata))
    assert torch.equal(features.encode(adata), expected)
    centred = make("tokens", adata, vocab, standardize=True).encode(adata)
    expected = expected - expected.mean(dim=0)
    assert torch.allclose(centred, expected / expected.square().mean().sqrt(), atol=1e-5)
    assert float(centred.square().mean()) == pytest.approx(1.0, rel=1e-5)
    short = make("tokens", adata, vocab, max_length=5)
    assert short.length == 5 and make("tokens", adata, vocab, max_length=50).length == 16
    expected = encoder.encode(RankValueTokenizer(vocab, 5)(adata))
    assert torch.equal(short.encode(adata), expected)
    assert len({make("tokens", adata, vocab, **kwargs).fingerprint() for kwargs in (
        {}, {"standardize": True}, {"max_length": 5}, {"max_length": 16}
    )}) == 3  # fmt: skip
    bare = TokenFeatures(encoder)
    with pytest.raises(ValueError, match="has no vocabulary.*'set_cell_encoder'"):
        bare.encode(adata)
    other = GeneVocab.from_slices([adata[:, :10].copy()])
    with pytest.raises(ValueError, match="do not fit"):
        TokenFeatures(encoder, other)


def test_a_kind_of_ones_own(adata):
    class Totals(Features):
        name = "totals"
        num_features = 1

        def encode(self, adata):
            return torch.from_numpy(np.asarray(adata.X.sum(axis=1))).float()

    totals = Totals()
    assert totals.encode(adata).shape == (100, 1) and totals.fingerprint() == Totals().fingerprint()
    with pytest.raises(TypeError, match="Features makes no features of an AnnData"):
        Features().encode(adata)
