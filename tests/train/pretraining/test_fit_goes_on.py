"""`fit` that is broken off and goes on, and that goes on from a model."""

import os
import re
import shutil
import signal

import numpy as np
import pytest
import torch

from stofm_pyg.data import GeneVocab, slices_from_anndata
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.train import Trainer
from tests.golden_case import GoldenCase
from tests.models.fit_case import CONFIG, STAGE, assert_same, differs, fit, fitted, make_tissue
from tests.models.official.test_load import write_official


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
    before = signal.getsignal(signal.SIGINT)
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
    assert signal.getsignal(signal.SIGINT) is before


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
