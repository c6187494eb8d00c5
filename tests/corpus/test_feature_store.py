import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from stofm_pyg.corpus import Corpus, CorpusDataset, FeatureStore
from stofm_pyg.data import SliceSettings, from_anndata
from stofm_pyg.data.slices.cell_order import name_order
from stofm_pyg.nn import NodeType


def random_features(shard, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shard.num_cells, 4, generator=generator, dtype=dtype)


@pytest.fixture(params=["disk", "memory"])
def store(request, settings, tmp_path):
    return FeatureStore(settings, tmp_path / "new" if request.param == "disk" else None)


def test_cells_and_means_of_clusters(corpus, store):
    shard = corpus.shards[0]
    x = random_features(shard, dtype=torch.float64)
    assert not store.has(shard)
    with pytest.raises(FileNotFoundError, match="There (is no file|are no features)"):
        store.open(shard)
    store.write(shard, x)
    assert store.has(shard) and not store.has(corpus.shards[1])
    kept = {
        name: store.open(shard).get_tensor(name) for name in ("x", "cluster", "virtual_x", "virtual_pos")
    }
    assert torch.equal(kept["x"], x.float()[shard.order])  # In the order of the shard.
    number = len(kept["virtual_x"])
    assert kept["cluster"].unique().tolist() == list(range(number)) and 1 <= number <= 6
    for name, values in (("virtual_x", kept["x"]), ("virtual_pos", shard.pos)):
        means = torch.stack([values[kept["cluster"] == c].mean(dim=0) for c in range(number)])
        torch.testing.assert_close(kept[name], means)
    assert kept["virtual_pos"].dtype == torch.float64


@examples(max_examples=6)
@given(seed=st.integers(0, 99), alpha=st.floats(0, 1), max_clusters=st.integers(1, 9))
def test_clusters_and_virtual_cells_are_those_of_a_slice(corpus, make_adata, seed, alpha, max_clusters):
    shard = corpus.shards[0]
    x = random_features(shard, seed)
    settings = corpus.settings.replace(alpha=alpha, max_clusters=max_clusters)
    store = FeatureStore(settings)
    adata = make_adata(90, seed=1)
    order = torch.from_numpy(name_order(adata.obs_names))
    store.write(shard, x[order])
    data = from_anndata(adata, settings, features=x.numpy())
    kept = store.open(shard)
    cells = data.node_type == NodeType.CELL
    assert torch.equal(shard.cell_id, order[shard.order])
    assert torch.equal(kept.get_tensor("x"), data.x[cells][shard.cell_id])
    assert torch.equal(kept.get_tensor("cluster"), data.cluster[cells][shard.cell_id])
    assert torch.equal(kept.get_tensor("virtual_x"), data.x[~cells])
    assert torch.equal(kept.get_tensor("virtual_pos").float(), data.pos[~cells])


def test_without_virtual_cells(corpus):
    shard = corpus.shards[0]
    store = FeatureStore(corpus.settings.replace(virtual_cells=False))
    store.write(shard, random_features(shard))
    kept = store.open(shard)
    assert kept.get_tensor("virtual_x").shape == (0, 4)
    assert kept.get_tensor("virtual_pos").shape == (0, 2)
    assert not kept.get_tensor("cluster").any()


@pytest.mark.parametrize(
    "change", [{"alpha": 0.9}, {"max_clusters": 2}, {"virtual_cells": False}], ids=str
)
def test_clusters_of_other_settings_are_made_anew(corpus, settings, tmp_path, change):
    shard = corpus.shards[0]
    store, other = FeatureStore(settings, tmp_path), FeatureStore(settings.replace(**change), tmp_path)
    store.write(shard, random_features(shard))
    assert store.has(shard) and not other.has(shard)
    with pytest.raises(ValueError, match="holds .* in 6 clusters, alpha 0.2', expected"):
        other.open(shard)
    other.write(shard, random_features(shard))
    assert other.has(shard) and not store.has(shard)
    same = FeatureStore(settings.replace(**change, num_features=9, cells_per_part=3), tmp_path)
    assert same.has(shard)  # What does not matter for clusters.


def test_truncated_features_are_none(corpus, settings, tmp_path):
    shard, store = corpus.shards[0], FeatureStore(settings, tmp_path)
    store.write(shard, torch.zeros(90, 4))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert not store.has(shard)
    with pytest.raises(ValueError, match="is truncated or damaged"):
        store.open(shard)


def test_wrong_features(corpus, store):
    with pytest.raises(ValueError, match=r"'a' have shape \[89, 4\], expected \[90, F\]"):
        store.write(corpus.shards[0], torch.zeros(89, 4))
    x = torch.zeros(90, 4)
    x[7, 1] = float("nan")
    with pytest.raises(ValueError, match="Features of 1 cells of 'a' are not finite, .* row 7"):
        store.write(corpus.shards[0], x)
    assert not store.has(corpus.shards[0])


def test_a_dataset_takes_them(corpus, store):
    for shard in corpus.shards:
        store.write(shard, random_features(shard))
    dataset = CorpusDataset(corpus, store)
    assert {data.num_features for data in dataset} == {4}
    virtual = dataset[0].x[dataset[0].node_type == NodeType.VIRTUAL]
    assert torch.equal(virtual, store.open(corpus.shards[0]).get_tensor("virtual_x"))


def test_rings_of_one_size(corpus, store):
    shard = corpus.shards[0]
    with pytest.raises(FileNotFoundError):
        store.write_rings(shard)
    store.write(shard, random_features(shard))
    with pytest.raises(FileNotFoundError, match="There are no rings of 'a'; write them first"):
        store.open_rings(shard)
    store.write_rings(shard)
    rings = store.open_rings(shard)
    assert rings.shape[::2] == (90, 4)
    torch.testing.assert_close(rings.square().mean(dim=(0, 2)), torch.ones(rings.size(1)))
    store.write_rings(shard)  # They are there.
    assert torch.equal(store.open_rings(shard), rings) and store.has(shard)


def test_repr(tmp_path):
    assert str(FeatureStore(SliceSettings())) == "FeatureStore(memory)"
    assert str(FeatureStore(SliceSettings(), tmp_path)) == f"FeatureStore('{tmp_path}')"


def test_features_of_a_corpus_lie_beside_it(feature_corpus, corpus):
    assert feature_corpus.features == feature_corpus.directory / "features"
    assert not feature_corpus.has_tokens and corpus.features is None
    with pytest.raises(ValueError, match="was made without a vocabulary and has no tokens"):
        _ = Corpus(feature_corpus.directory).vocab
