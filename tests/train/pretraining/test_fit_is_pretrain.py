"""`fit` is `pretrain` on a corpus in memory: what lies on disk gives the same weights."""

import numpy as np
import pytest
import torch

from stofm_pyg.corpus import CorpusDataset, FeatureStore, build_corpus
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.slices.cell_order import name_order
from stofm_pyg.models import SToFM
from stofm_pyg.models._subpatches import subpatches
from stofm_pyg.models.features import PCAFeatures, TokenFeatures, load_features
from stofm_pyg.nn import NodeType
from stofm_pyg.train import PRESETS, PretrainConfig, pretrain
from tests.models.fit_case import (
    CONFIG,
    FULL,
    SETTINGS,
    STAGE,
    assert_same,
    differs,
    fit,
    fitted,
    make_tissue,
)


@pytest.mark.parametrize("name", ["pca", "tokens", "obsm"])
def test_a_corpus_on_disk_gives_the_same_weights(adata, vocab, tmp_path, name):
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(200, 4))
    adata.write_h5ad(tmp_path / "a.h5ad")
    made = {
        "pca": lambda: fitted().features,
        "obsm": lambda: fit(adata, features="X_own").features,
        "tokens": lambda: None,
    }[name]()
    given = {"vocab": vocab} if name == "tokens" else {"features": made}
    corpus = build_corpus([tmp_path / "a.h5ad"], tmp_path / "corpus", settings=SETTINGS, **given)
    errors = pretrain(corpus, tmp_path / "run", FULL, device="cpu", progress=False)
    loaded = SToFM.from_pretrained(tmp_path / "run")
    if name == "obsm":
        model = fit(adata, features="X_own", config=FULL)
    else:
        model = fit(adata, config=FULL, features=name, vocab=given.get("vocab"))
    assert_same(loaded, model)
    assert loaded.settings == model.settings == SETTINGS
    assert loaded.features.fingerprint() == model.features.fingerprint()
    assert torch.equal(loaded.embed_anndata(adata), model.embed_anndata(adata))
    assert set(errors) == ({"stage_1", "stage_2"} if name == "tokens" else {"stage_1"})
    assert errors["stage_1"] == {}
    assert differs(fit(adata, config=FULL, seed=1), loaded)


RINGS = {**STAGE, "objectives": {"mcm": 1.0, "rings": 1.0}}


@pytest.mark.parametrize("name", ["pca", "tokens"])
def test_rings_on_disk_and_in_memory(adata, vocab, tmp_path, name):
    config = {**CONFIG, "stage_1": RINGS, "stage_2": {**RINGS, "max_steps": 1}}
    given = {"vocab": vocab} if name == "tokens" else {"features": fitted().features}
    adata.write_h5ad(tmp_path / "a.h5ad")
    corpus = build_corpus([tmp_path / "a.h5ad"], tmp_path / "corpus", settings=SETTINGS, **given)
    full = PretrainConfig.from_dict({**config, "held_out": 1}, PRESETS["tiny"])
    errors = pretrain(corpus, tmp_path / "run", full, device="cpu", progress=False)
    assert errors["stage_1"]["after"]["mcm_mse"] != errors["stage_1"]["before"]["mcm_mse"]
    model = fit(adata, config=full, features=name, vocab=given.get("vocab"), held_out=1)
    if name == "tokens":  # Components know the slice held out, tokens do not.
        assert_same(SToFM.from_pretrained(tmp_path / "run"), model)
    calls, last = [], {"pca": 1, "tokens": 3}[name]  # In the first stage.
    options = {"config": config, "features": name, "vocab": given.get("vocab"), "out": tmp_path / "out"}
    with pytest.raises(KeyboardInterrupt):
        fit(adata, stop=lambda: calls.append(1) or len(calls) == last, **options)
    assert_same(fit(adata, **options), fit(adata, **{**options, "out": None}))


UNUSUAL = SliceSettings(unit="micron", radius=60.0, max_clusters=20, cells_per_part=30, num_features=5)


@pytest.mark.parametrize("settings", [UNUSUAL, UNUSUAL.replace(unit="spacing", radius=2.5)])
@pytest.mark.parametrize("name", ["pca", "tokens", "short"])
def test_slices_are_those_of_the_corpus(adata, vocab, tmp_path, settings, name):
    """Features, edges, clusters and parts, from a corpus and from the model that it gave."""
    if name == "short":  # Fewer tokens than the encoder would read.
        settings = settings.replace(max_length=6)
    adata.write_h5ad(tmp_path / "a.h5ad")
    given = {"vocab": vocab}
    if name == "pca":
        given = {"features": PCAFeatures.fit([adata[:100].copy(), adata[100:].copy()], 5)}
    corpus = build_corpus([tmp_path / "a.h5ad"], tmp_path / "corpus", settings=settings, **given)
    values = {"stage_2": {"num_epochs": 0}, "standardize": name == "short"}
    config = PretrainConfig.from_dict(values, FULL)
    pretrain(corpus, tmp_path / "run", config, device="cpu", progress=False)
    model = SToFM.from_pretrained(tmp_path / "run")
    folder = tmp_path / "run" / "cells" if name != "pca" else corpus.features
    (folder,) = [path for path in folder.iterdir() if path.is_dir()]
    store = FeatureStore(settings, folder)
    dataset = CorpusDataset(corpus, store)
    model.embed(adata)  # It is not refused.
    slices = model.slices(adata)
    assert [data.name for data in slices] == ["slice0", "slice1"]
    for number, (data, shard) in enumerate(zip(slices, corpus.shards, strict=True)):
        cells = data.node_type == NodeType.CELL
        names = adata.obs_names[adata.obs["slice"] == data.name]
        order = torch.from_numpy(name_order(names))[shard.order]
        kept = store.open(shard)
        assert torch.equal(data.cell_id[cells][order], shard.tensor("cell_id"))
        assert torch.equal(data.pos[cells][order], shard.pos.float())
        assert torch.equal(data.x[cells][order], kept.get_tensor("x"))
        assert torch.equal(data.cluster[cells][order], kept.get_tensor("cluster"))
        assert 2 < int(data.cluster.max()) + 1 <= 20
        assert torch.equal(data.x[~cells], kept.get_tensor("virtual_x"))
        # Edges of the whole slice, and those within the parts in which it is embedded.
        mine = data.edge_index[:, cells[data.edge_index].all(dim=0)]
        edges = {(int(a), int(b)) for a, b in mine.t()}
        items = [dataset[i] for i in (dataset.slice_of == number).nonzero().view(-1).tolist()]
        assert sum(int((item.node_type == NodeType.CELL).sum()) for item in items) == 100
        parts = subpatches(data, "radius", model.settings.cells_per_part, model.settings.method, 0)
        assert len(parts) == len(items) >= 3
        assert shard.entry["edges"] == len(edges) > 200
        for part, item in zip(parts, items, strict=True):
            of_item = item.cell_id[item.node_type == NodeType.CELL] - int(data.cell_id[cells].min())
            assert set(part.row[part.row >= 0].tolist()) == set(of_item.tolist())
            found = {(int(of_item[a]), int(of_item[b])) for a, b in item.edge_index.t()}
            assert found == {(a, b) for a, b in edges if {a, b} <= set(of_item.tolist())}


@pytest.fixture
def orthologues(adata):
    """A table by which the first genes, called otherwise, are found; and slices that need it."""
    mouse = adata.copy()
    names = list(adata.var_names)
    mouse.var_names = [f"ENSMUSG{i:011d}" if i < 20 else name for i, name in enumerate(names)]
    pairs = {f"ENSMUSG{i:011d}": name for i, name in enumerate(names[:20])}
    return mouse, Orthologues.read(pairs)


def test_mouse_genes(adata, vocab, orthologues, tmp_path):
    mouse, table = orthologues
    mouse.write_h5ad(tmp_path / "a.h5ad")
    corpus = build_corpus([tmp_path / "a.h5ad"], tmp_path / "corpus", vocab, SETTINGS, orthologues=table)
    assert len(corpus.orthologues) == 20
    pretrain(corpus, tmp_path / "run", FULL, device="cpu", progress=False)
    model = SToFM.from_pretrained(tmp_path / "run")
    assert model.features.orthologues.fingerprint() == table.fingerprint()
    # So that mouse slices are embedded as those with human genes.
    assert_same(model, fitted("tokens"))
    assert torch.equal(model.embed_anndata(mouse), fitted("tokens").embed_anndata(adata))
    features = TokenFeatures(model.cell_encoder, vocab, orthologues=table)
    given = fit(mouse, features=features)
    assert given.features.orthologues.fingerprint() == table.fingerprint()
    assert torch.allclose(given.embed_anndata(mouse), given.embed_anndata(adata), atol=1e-6)
    # Built again without, it has none.
    (tmp_path / "a.h5ad").unlink()
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = build_corpus([tmp_path / "a.h5ad"], tmp_path / "corpus", vocab, SETTINGS)
    assert again.orthologues is None


def test_a_corpus_of_the_features_of_a_model(adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    corpus = build_corpus(
        [tmp_path / "a.h5ad"], tmp_path / "corpus", settings=SETTINGS, features=fitted().features
    )
    pretrain(corpus, tmp_path / "run", FULL, model=fitted(), device="cpu", progress=False)
    assert_same(SToFM.from_pretrained(tmp_path / "run"), fit(adata, model=fitted(), settings=None))
    assert load_features(corpus.features).fingerprint() == fitted().features.fingerprint()
    other = fit(make_tissue(seed=7), config={**CONFIG, "stage_1": {"num_epochs": 0}})
    with pytest.raises(ValueError, match="sees cells by PCAFeatures.*, the corpus was built with PCA"):
        pretrain(corpus, tmp_path / "b", FULL, model=other, progress=False)
    tokens = build_corpus(
        [tmp_path / "a.h5ad"], tmp_path / "tokens", GeneVocab.from_slices([adata]), SETTINGS
    )
    with pytest.raises(ValueError, match="the corpus holds tokens; build it with the features of the"):
        pretrain(tokens, tmp_path / "b", FULL, model=fitted(), progress=False)
