"""`fit`, from slices to a model; and that it is `pretrain` on a corpus in memory."""

import json
import re
import shutil
from dataclasses import replace

import anndata
import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from stofm_pyg.corpus import CorpusDataset, FeatureStore, build_corpus
from stofm_pyg.data import GeneVocab, SliceSettings, slices_from_anndata
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.models._subpatches import subpatches
from stofm_pyg.models.features import (
    GivenFeatures,
    ObsmFeatures,
    PCAFeatures,
    TokenFeatures,
    load_features,
)
from stofm_pyg.nn import NodeType
from stofm_pyg.train import PRESETS, PretrainConfig, Trainer, pretrain
from tests.golden_case import GoldenCase
from tests.models.fit_case import CONFIG, SETTINGS, STAGE, fit, fitted, make_tissue
from tests.models.official.test_load import write_official

FULL = PretrainConfig.from_dict({**CONFIG, "held_out": 0}, PRESETS["tiny"])


@pytest.fixture
def adata():
    return make_tissue()


@pytest.fixture(scope="module")
def vocab():
    return GeneVocab.from_slices([make_tissue()])


def assert_same(one, other, exactly=True):
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]) if exactly else torch.allclose(a[key], b[key], atol=1e-3), key


def differs(one, other):
    return not torch.equal(one.encoder.lin_in.weight, other.encoder.lin_in.weight)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "tissue.h5ad"
    make_tissue().write_h5ad(path)
    return path


@pytest.mark.parametrize("features", ["pca", "tokens"])
def test_wherever_the_slices_are(adata, file, vocab, features):
    expected = fitted(features)
    options = {"features": features, "vocab": vocab if features == "tokens" else None}
    backed = anndata.read_h5ad(file, backed="r")
    before = adata.copy()
    more = anndata.concat([adata, make_tissue(seed=3)[:50]])
    sources = [adata, more[:200], backed, backed[:200], file, str(file), [file]]
    for source in sources[:3] if features == "tokens" else sources:
        assert_same(fit(source, **options), expected)
    assert (adata.X != before.X).nnz == 0 and not adata.uns.keys() ^ before.uns.keys()
    assert adata.obs.equals(before.obs) and list(adata.obsm) == list(before.obsm)


def test_slices_in_files_and_objects_of_their_own(adata, tmp_path):
    parts = [adata[adata.obs["slice"] == name].copy() for name in ("slice0", "slice1")]
    paths = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    for part, path in zip(parts, paths, strict=True):
        part.write_h5ad(path)
    for sources in (parts, paths, [adata[:100], adata[100:]], [parts[0], paths[1]]):
        assert_same(fit(sources), fitted())
    # What lies in one file without a column is one slice.
    for part in parts:
        del part.obs["slice"]
    assert_same(fit(parts), fitted())


def test_slices_that_are_converted(adata):
    model = fitted()
    slices = model.slices(adata)
    again = fit(slices, settings=None)
    assert isinstance(again.features, GivenFeatures) and again.settings == model.settings.replace(
        slice_key=None
    )
    # Components that are scaled already are not scaled anew, up to rounding.
    z = torch.cat(again.embed(slices))
    assert float((z - model.embed_anndata(adata)).norm() / z.norm()) < 0.05
    plain = slices_from_anndata(adata, SETTINGS)
    assert torch.equal(fit(plain, settings=None).embed(plain[0]), fit(plain).embed(plain[0]))
    with pytest.raises(ValueError, match="which an AnnData does not have"):
        again.embed(adata)
    with pytest.raises(ValueError, match="were made otherwise than 'settings' say: radius 2.5 instead "
                       "of 4.0"):  # fmt: skip
        fit(plain, settings=None, radius=4.0)
    with pytest.raises(ValueError, match="were made in different ways: radius"):
        fit([plain[0], *slices_from_anndata(adata, SETTINGS, radius=5.0)], settings=None)
    with pytest.raises(TypeError, match="Got 'Data' and others; pass slices of one kind"):
        fit([plain[0], adata])
    with pytest.raises(TypeError, match="got a Batch of them"):
        fit(Batch.from_data_list(plain))


@pytest.mark.parametrize("name", ["pca", "tokens", "obsm"])
def test_a_corpus_on_disk_gives_the_same_weights(adata, vocab, tmp_path, name):
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(200, 4))
    adata.write_h5ad(tmp_path / "a.h5ad")
    made = {
        "pca": lambda: fitted().features,
        "obsm": lambda: ObsmFeatures.fit([adata[:100].copy(), adata[100:].copy()], "X_own"),
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
        order = shard.order
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


def test_what_a_model_sees(adata, vocab):
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(200, 4))
    assert isinstance(fitted().features, PCAFeatures)
    assert isinstance(fitted("tokens").features, TokenFeatures)
    own = fit(adata, features="X_own")
    assert isinstance(own.features, ObsmFeatures) and own.features.obsm == "X_own"
    assert own.embed_anndata(adata).shape == (200, 16)
    with pytest.raises(ValueError, match="'X_own' is not in 'adata.obsm'"):
        own.embed(make_tissue())
    made = fit(adata, features=fitted().features)
    assert_same(made, fitted())
    with pytest.raises(ValueError) as error:
        fit(adata, features="pcaa")
    assert "'pcaa' is not in 'adata.obsm', which holds" in str(error.value)
    assert "Other 'features' are 'pca' and 'tokens'" in str(error.value)


def test_a_cell_encoder_of_ones_own(adata, vocab):
    encoder = fitted("tokens").cell_encoder
    fingerprint = encoder.fingerprint()
    config = {**CONFIG, "stage_2": {"num_epochs": 0}}
    auto = fit(adata, cell_encoder=encoder, vocab=vocab, config=config)
    assert isinstance(auto.features, TokenFeatures) and auto.features.standardize
    assert auto.cell_encoder.fingerprint() == fingerprint
    # Given as features, and centred as these are.
    plain = fit(adata, features=TokenFeatures(encoder, vocab, standardize=False), config=config)
    assert not plain.features.standardize and plain.cell_encoder.fingerprint() == fingerprint
    assert differs(plain, auto)
    # One without a scale gets one; the caller's stays as it was.
    bare = CellEncoder(len(vocab), 8, 1, 2, 8, max_length=12, out_channels=6,
                       vocab_fingerprint=vocab.fingerprint).eval()  # fmt: skip
    model = fit(adata, cell_encoder=bare, vocab=vocab, config=config)
    assert bare.scale is None and model.cell_encoder.scale is not None
    # Both are trained in the second stage.
    both = fit(adata, cell_encoder=encoder, vocab=vocab)
    assert both.cell_encoder.fingerprint() != fingerprint == encoder.fingerprint()
    with pytest.raises(ValueError, match="Pass the vocabulary of the cell encoder as 'vocab'"):
        fit(adata, cell_encoder=encoder)
    with pytest.raises(ValueError, match="has no vocabulary"):
        fit(adata, features=TokenFeatures(encoder))


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
    corpus = build_corpus(
        [tmp_path / "a.h5ad"], tmp_path / "corpus", vocab, SETTINGS, orthologues=table
    )
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


def test_settings_by_name(adata):
    adata.obs["section"] = adata.obs.pop("slice")
    model = fit(adata, slice_key="section", max_clusters=5)
    assert model.settings == SETTINGS.replace(slice_key="section", max_clusters=5)
    assert model.embed_anndata(adata).shape == (200, 16)
    with pytest.raises(TypeError, match="no setting 'radios' of a slice; did you mean 'radius'"):
        fit(adata, radios=3)
    with pytest.raises(ValueError, match="'slice_kind' is not in 'adata.obs'"):
        fit([adata, adata], slice_key="slice_kind")
    with pytest.raises(ValueError, match="Unknown preset 'large'; known: tiny"):
        fit(adata, preset="large")
    with pytest.raises(ValueError, match="Unknown key 'stage_3'"):
        fit(adata, config={"stage_3": {}})


def test_what_the_configuration_says(adata):
    assert_same(fit(adata, config=replace(FULL, seed=0)), fitted())
    third = fit(adata, config=replace(FULL, seed=3))
    assert differs(third, fitted())
    assert_same(fit(adata, config={**CONFIG, "seed": 3}), third)
    assert_same(fit(adata, seed=3), third)
    assert third.read_out.layers == "all" and third.training is False


def test_slices_held_out(adata, tmp_path):
    for number, given in enumerate(({"held_out": 1}, {"held_out": ["slice1"]},
                                    {"config": {**CONFIG, "held_out": 1}})):  # fmt: skip
        out = tmp_path / str(number)
        fit(adata, out=out, **given)
        errors = json.loads((out / "errors.json").read_text())["stage_1"]
        assert set(errors) == {"before", "after", "baselines"} and errors["after"]["mcm_mse"] > 0
    with pytest.raises(ValueError, match=r"'held_out' must leave a slice .*\(got 2 of 2 slices\)"):
        fit(adata, held_out=2)


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "adam"}, {"schedule": "constant"}, {"warmup": 0.5}, {"clip_norm": 1e-3}, {"beta_2": 0.5}],
)
def test_the_optimiser_is_a_setting(adata, optimizer):
    stage = {**STAGE, "optimizer": optimizer, "weight_decay": 0.5}
    base = fit(adata, config={**CONFIG, "stage_1": {**STAGE, "weight_decay": 0.5}})
    assert differs(fit(adata, config={**CONFIG, "stage_1": stage}), base)


def test_without_a_stage_nothing_is_trained(adata):
    none = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
    first, again = (fit(adata, config={**CONFIG, **none}) for _ in range(2))
    assert_same(first, again)
    assert differs(first, fitted()) and first.embed_anndata(adata).shape == (200, 16)


class Broken(Exception):
    """What ends a run where nobody expects it."""


@pytest.mark.parametrize("features", ["pca", "tokens"])
@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_and_gone_on(adata, vocab, tmp_path, features, after):
    options = {"features": features, "vocab": vocab if features == "tokens" else None}
    calls = []

    def stop():
        calls.append(1)
        return len(calls) == after

    with pytest.raises(KeyboardInterrupt) as interrupt:
        fit(adata, out=tmp_path / "run", stop=stop, **options)
    assert str(interrupt.value) == (
        f"Interrupted: what was done is kept in '{tmp_path / 'run'}'; the same call with "
        f"'out={str(tmp_path / 'run')!r}' goes on from there"
    )
    assert list((tmp_path / "run").glob("checkpoints/*/step-*.pt")) and len(calls) == after
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    # Another run is refused, and nothing is written over.
    before = (tmp_path / "run" / "pretraining.json").read_bytes()
    other = make_tissue(seed=1)
    vocabs = {**options, "vocab": None if features == "pca" else GeneVocab.from_slices([other])}
    for source, changed, word in (
        (adata, {**options, "seed": 1}, "seed 0 -> 1"),
        (other, vocabs, "corpus"),
        (adata, {**options, "config": {**CONFIG, "stage_1": {**STAGE, "lr": 0.5}}}, "stage_1.lr 0.01"),
        (adata, {**options, "radius": 3.0}, "corpus"),
    ):
        with pytest.raises(ValueError, match=f"is of another run .*{word}"):
            fit(source, out=tmp_path / "run", **changed)
    assert (tmp_path / "run" / "pretraining.json").read_bytes() == before
    # It goes on to the same weights, and is then not done again.
    model = fit(adata, out=tmp_path / "run", **options)
    assert_same(model, fitted(features))
    assert_same(SToFM.from_pretrained(tmp_path / "run"), model)
    assert torch.equal(model.embed_anndata(adata), fitted(features).embed_anndata(adata))


def test_another_encoder_is_another_run(adata, vocab, tmp_path):
    encoder = fitted("tokens").cell_encoder
    calls = []
    with pytest.raises(KeyboardInterrupt):
        fit(adata, out=tmp_path, cell_encoder=encoder, vocab=vocab, stop=lambda: not calls.append(1))
    other = CellEncoder(len(vocab), 8, 1, 2, 8, max_length=12, out_channels=6,
                        vocab_fingerprint=vocab.fingerprint).eval()  # fmt: skip
    with pytest.raises(ValueError, match="is of another run .cell_encoder"):
        fit(adata, out=tmp_path, cell_encoder=other, vocab=vocab)
    with pytest.raises(ValueError, match="is of another run"):
        fit(adata, out=tmp_path, features="tokens", vocab=vocab)
    fit(adata, out=tmp_path, cell_encoder=encoder, vocab=vocab)


def test_ctrl_c(adata, monkeypatch):
    """The first lets the step end; the folder that is named goes on."""
    import os
    import signal

    descend = Trainer._descend

    def pressed(self, parts):
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return descend(self, parts)

    monkeypatch.setattr(Trainer, "_descend", pressed)
    with pytest.raises(KeyboardInterrupt, match="Interrupted: what was done is kept in") as interrupt:
        fit(adata)
    monkeypatch.undo()
    folder = re.search(r"kept in '([^']+)'", str(interrupt.value))[1]
    assert_same(fit(adata, out=folder), fitted())
    shutil.rmtree(folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_is_left_behind(adata, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fit(adata)
    with pytest.raises(ValueError, match="Unknown objectives"):
        fit(adata, config={**CONFIG, "stage_1": {**STAGE, "objectives": {"mmc": 1.0}}})
    assert list(tmp_path.iterdir()) == []

    def descend(self, parts):
        raise Broken

    monkeypatch.setattr(Trainer, "_descend", descend)
    with pytest.raises(Broken):
        fit(adata)


def test_from_a_saved_model(adata, tmp_path):
    fitted().save_pretrained(tmp_path)
    start = SToFM.from_pretrained(tmp_path)
    start.domains(adata.copy(), n=2)
    start.finetune(adata, "domain", progress=False)
    before = {key: value.clone() for key, value in start.state_dict().items()}
    other = make_tissue(seed=4)
    model = fit(other, model=start, settings=None)
    assert model is not start
    assert all(torch.equal(value, before[key]) for key, value in start.state_dict().items())
    # The weights move on from where they were; what the model sees is as before.
    moved = (model.encoder.lin_in.weight - start.encoder.lin_in.weight).abs().max()
    assert 0 < float(moved) < 0.1
    assert model.features is start.features and model.settings == start.settings
    # What was learned from embeddings of before is gone.
    assert len(model.heads) == 0 and model.found_domains is None
    assert len(start.heads) == 1 and start.found_domains is not None
    assert model.embed_anndata(other).isfinite().all()
    with pytest.raises(ValueError, match="made in another way .*: radius 4.0 instead of 2.5"):
        fit(other, model=start, radius=4.0, settings=None)
    with pytest.raises(ValueError, match="Only 10 of the model's 40 genes"):
        fit(other[:, :10].copy(), model=start, settings=None)
    # Slices that the model itself made.
    again = fit(start.slices(other), model=start, settings=None)
    assert again.features is start.features
    assert torch.allclose(again.embed_anndata(other), model.embed_anndata(other), atol=0.05)
    with pytest.raises(ValueError, match="has other features than PCAFeatures"):
        data = start.slices(other)[0]
        data.features = "of something else"
        fit([data], model=start, settings=None)


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


def test_from_an_official_model(adata, vocab, tmp_path):
    official = SToFM.from_official(*write_official(tmp_path, GoldenCase("se2_pre_ln")))
    size = official.config["in_channels"]
    encoder = CellEncoder(len(vocab), 8, 1, 2, 8, max_length=12, out_channels=size,
                          vocab_fingerprint=vocab.fingerprint).eval()  # fmt: skip
    with pytest.raises(ValueError, match="no features of its own: give it a cell encoder"):
        fit(adata, model=official, settings=None)
    # Features that the slices bring along stay as they are.
    x = np.random.default_rng(0).normal(size=(200, size)).astype(np.float32)
    slices = slices_from_anndata(adata, official.settings, features=x)
    trained = fit(slices, model=official, settings=None)
    assert trained.graph == "official" and differs(trained, official)
    start = (trained.encoder.lin_in.weight - official.encoder.lin_in.weight).abs().max()
    assert float(start) < 0.1
    data = slices[0].clone()
    assert torch.equal(trained.features.encode_data(data).x, data.x)
    assert torch.allclose(trained.mask_token, official.mask_token, atol=0.2)
    # With a cell encoder, counts will do.
    official.set_cell_encoder(encoder, vocab)
    trained = fit(adata, model=official, settings=None)
    assert trained.settings.unit == "official" and trained.settings.radius is None
    assert trained.embed_anndata(adata).isfinite().all() and differs(trained, official)
    with pytest.raises(ValueError, match="unit spacing instead of official"):
        fit(adata, model=official)


def test_one_cell_and_other_slices_too_small(adata):
    with pytest.raises(ValueError, match="at least two cells"):
        fit(adata[:1].copy())
    names = np.array(["a"] * 199 + ["alone"])
    adata.obs["slice"] = names
    with pytest.raises(ValueError, match="(?i)slice 'alone' needs at least two cells at different"):
        fit(adata)
    with pytest.raises(ValueError, match="no cell to fit to|0 cells"):
        fit(adata[:0].copy())
    with pytest.raises(ValueError, match="'data' is empty"):
        fit([])


def test_what_no_model_can_be_fitted_to(adata):
    with pytest.raises(ValueError, match="made without a radius, which ties the cells"):
        fit(adata, radius=None)
    for data in (5, [5]):
        with pytest.raises(TypeError, match="Expected an AnnData or the path of .* got int"):
            fit(data)
    adata.obsm["spatial"][3] = np.nan
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(200, 4))
    for name in ("pca", "X_own"):
        with pytest.raises(ValueError, match="1 of 100 positions .* are not finite, the first in row 3"):
            fit(adata, features=name)


def test_a_slice_smaller_than_a_region(adata):
    few = adata[adata.obs["slice"] == "slice0"][:12].copy()
    model = fit(few)
    assert model.embed_anndata(few).shape == (12, 16)
    assert model.embed_anndata(few).isfinite().all()


def test_no_gene_in_common(adata):
    other = make_tissue(num_slices=1)
    other.var_names = [f"probe{i}" for i in range(40)]
    with pytest.raises(ValueError, match="have 0 genes in common .of 40 to 40., too few"):
        fit([adata, other])


def test_normalised_counts(adata):
    adata.X.data = np.log1p(adata.X.data)
    with pytest.raises(ValueError, match="Expected counts in 'adata.X', found .* fractional"):
        fit(adata)


def test_a_folder_that_cannot_be_is_found_out_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("stofm_pyg.train.pretraining._fit.corpus_in_memory", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, in whose place a folder is needed"):
        fit(make_tissue(), out=tmp_path / "file" / "run")
