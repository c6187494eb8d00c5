"""The whole of pre-training, in a second or two."""

import json
import os
import shutil
import time
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import stofm_pyg.train.pretraining.stages as run_stage_module
from stofm_pyg._files import locked
from stofm_pyg.corpus import Corpus
from stofm_pyg.models import CellEncoder, SToFM
from stofm_pyg.nn import NodeType
from stofm_pyg.train.engine.checkpoints import Checkpoints
from stofm_pyg.train.engine.trainer import Trainer
from stofm_pyg.train.pretraining._pretrain import pretrain
from stofm_pyg.train.pretraining.config import PretrainConfig
from tests.train.pretrain_case import make_config


def curve(out, stage, tag):
    """What TensorBoard shows: steps and values."""
    events = EventAccumulator(str(out / "tensorboard" / stage), {"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def weights(out):
    parts = ("model.safetensors", "features/cell_encoder/cell_bert/model.safetensors")
    return [load_file(out / part) for part in parts]


def same(one, other):
    return all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """A run that was not broken off: its folder, and what it returned."""
    out = tmp_path_factory.mktemp("whole")
    return out, pretrain(corpus, out, make_config())


def test_what_it_leaves(whole, corpus):
    out, errors = whole
    assert json.loads((out / "errors.json").read_text()) == errors
    assert PretrainConfig.read(out / "pretraining.json") == make_config()
    for stage in ("stage_1", "stage_2"):
        assert set(errors[stage]) == {"before", "after", "baselines"}
        assert errors[stage]["after"]["mcm_mse"] != errors[stage]["before"]["mcm_mse"]
    # Stage 2 begins where stage 1 ended, and truth and questions are the same in both.
    before, after = errors["stage_2"]["before"], errors["stage_1"]["after"]
    assert before == pytest.approx(after, rel=1e-3)
    assert errors["stage_1"]["baselines"] == errors["stage_2"]["baselines"]


def test_the_model_takes_counts(whole, corpus, tmp_path_factory):
    out, _ = whole
    model = SToFM.from_pretrained(out)
    z = model.embed_anndata(corpus.shards[0].file, slice_key="slice")
    assert z.shape == (270, 8) and bool(z.isfinite().all())
    first = SToFM.from_pretrained(out / "stage_1")
    assert not torch.equal(first.mask_token, model.mask_token)
    frozen = CellEncoder.from_pretrained(out / "frozen_encoder")
    tokens = corpus.shards[0].tokens().truncate(12)
    assert torch.equal(first.cell_encoder.encode(tokens), frozen.encode(tokens))
    assert not torch.equal(model.cell_encoder.encode(tokens), frozen.encode(tokens))


def test_curves(whole, corpus):
    out, errors = whole
    steps = sum(shard.num_parts for shard in corpus.shards[:2]) // 2
    assert [step for step, _ in curve(out, "stage_1", "train/loss")] == list(range(1, steps + 1))
    loss, mcm, pdr = (curve(out, "stage_1", f"train/{name}") for name in ("loss", "mcm", "pdr"))
    for (_, total), (_, one), (_, other) in zip(loss, mcm, pdr, strict=True):
        assert total == pytest.approx(one + 0.01 * other, rel=1e-5)
    held_out = curve(out, "stage_1", "held_out/mcm_mse")
    assert held_out[0] == (0, pytest.approx(errors["stage_1"]["before"]["mcm_mse"], rel=1e-5))
    assert held_out[-1] == (steps, pytest.approx(errors["stage_1"]["after"]["mcm_mse"], rel=1e-5))
    for tag in ("lr", "grad_norm", "cells_per_second", "loading_share", "memory_mib"):
        assert all(value >= 0 for _, value in curve(out, "stage_2", f"train/{tag}"))
    images = EventAccumulator(str(out / "tensorboard" / "stage_1"), {"images": 0}).Reload()
    assert images.Tags()["images"] == ["held_out/clusters"]


class Broken(Exception):
    """What ends a run where nobody expects it."""


@pytest.mark.parametrize(("stage", "step"), [("stage_1", 1), ("stage_2", 2)])
def test_a_run_that_broke_goes_on_to_the_last_digit(whole, corpus, tmp_path, monkeypatch, stage, step):
    descend, out = Trainer._descend, tmp_path / "run"

    def broken(self, parts):
        names = [path.name for path in (out / "checkpoints").glob("stage_*")]
        if stage in names and self.step == step:
            raise Broken
        return descend(self, parts)

    monkeypatch.setattr(Trainer, "_descend", broken)
    with pytest.raises(Broken):
        pretrain(corpus, out, make_config())
    monkeypatch.setattr(Trainer, "_descend", descend)
    time.sleep(1.1)  # TensorBoard orders files by the second in which they were made.
    errors = pretrain(corpus, out, make_config(), resume=True)
    assert errors == whole[1] and same(weights(out), weights(whole[0]))
    for name in ("stage_1", "stage_2"):
        for tag in ("train/loss", "train/grad_norm", "held_out/mcm_mse"):
            assert curve(out, name, tag) == curve(whole[0], name, tag)


def test_a_finished_run_is_not_done_again(whole, corpus, tmp_path, monkeypatch):
    def descend(self, parts):
        raise Broken

    monkeypatch.setattr(Trainer, "_descend", descend)
    assert pretrain(corpus, whole[0], make_config(), resume=True) == whole[1]


def test_a_folder_in_use(whole, corpus):
    with pytest.raises(ValueError, match="holds a run already; go on with '--resume auto'"):
        pretrain(corpus, whole[0], make_config())
    with pytest.raises(ValueError, match=r"another run \(stage_2.lr 0.01 -> 0.02\)"):
        pretrain(corpus, whole[0], make_config(stage_2={"lr": 0.02}), resume=True)


def test_told_to_end(whole, corpus, tmp_path):
    calls = []

    def stop():
        calls.append(1)
        return len(calls) in (2, 6)

    assert pretrain(corpus, tmp_path, make_config(), stop=stop) is None  # In adaptation.
    assert not (tmp_path / "frozen_encoder").exists()
    assert pretrain(corpus, tmp_path, make_config(), stop=stop, resume=True) is None  # In stage 1.
    assert not (tmp_path / "errors.json").exists()
    assert pretrain(corpus, tmp_path, make_config(), resume=True) == whole[1]
    assert same(weights(tmp_path), weights(whole[0]))


def test_a_loss_that_is_not_finite(corpus, cell_encoder, tmp_path, monkeypatch):
    original = run_stage_module.training_transform

    def transform(*args, **kwargs):
        change = original(*args, **kwargs)

        def bad(data):
            data = change(data)
            if data.name == corpus.names[1]:
                data.target = data.target * torch.nan
            return data

        return bad

    monkeypatch.setattr(run_stage_module, "training_transform", transform)
    config = make_config(stage_1={"batch_size": 1, "save_every": 100})
    with pytest.raises(FloatingPointError, match=corpus.names[1]):
        pretrain(corpus, tmp_path, config, cell_encoder=cell_encoder)
    state = Checkpoints(tmp_path / "checkpoints" / "stage_1").load_newest()["trainer"]
    assert all(bool(value.isfinite().all()) for value in state["module"].values())


def test_an_encoder_of_ones_own_and_more_objectives(corpus, cell_encoder, tmp_path):
    objectives = {"mcm": 1.0, "pdr": 0.01, "mgm": 0.1, "contrastive": 0.1}
    config = make_config(stage_2={"objectives": objectives, "mcm_loss": "cosine"})
    before = cell_encoder.gene_head.lin.weight.clone()
    errors = pretrain(corpus, tmp_path, config, cell_encoder=cell_encoder)
    assert not (tmp_path / "checkpoints" / "adaptation").exists()
    assert len(curve(tmp_path, "stage_2", "train/contrastive")) > 0
    assert set(errors) == {"stage_1", "stage_2"}
    trained = SToFM.from_pretrained(tmp_path).cell_encoder
    assert not torch.equal(trained.gene_head.lin.weight, before)


def test_one_stage_alone(corpus, cell_encoder, tmp_path):
    config = make_config(stage_2={"num_epochs": 0}, model={"mask_vector": "official"})
    errors = pretrain(corpus, tmp_path, config, cell_encoder=cell_encoder)
    assert list(errors) == ["stage_1"]
    assert SToFM.from_pretrained(tmp_path).mask_token.unique().tolist() == [-100.0]
    with pytest.raises(ValueError, match="Unknown 'model.mask_vector' 'zero'; known: learned, official"):
        config = make_config(model={"mask_vector": "zero"})
        pretrain(corpus, tmp_path / "b", config, cell_encoder=cell_encoder)


def test_how_a_small_model_begins(corpus, cell_encoder, tmp_path):
    """Attention falls with the distance, and features are centred, in training and after it."""
    config = make_config(
        stage_1={"num_epochs": 1, "lr": 1e-9}, stage_2={"num_epochs": 0}, standardize=True,
        model={"local_start": True},
    )  # fmt: skip
    pretrain(corpus, tmp_path, config, cell_encoder=cell_encoder)
    model = SToFM.from_pretrained(tmp_path)
    near, far = model.encoder.blocks[0].conv.distance(torch.tensor([0.5, 2.0])).detach()
    assert bool((near > far).all()) and model.features.standardize
    for data in model.slices(corpus.shards[0].file):
        mean = data.x[data.node_type == NodeType.CELL].mean(dim=0)
        assert torch.allclose(mean, torch.zeros(6), atol=1e-5)


def test_another_seed_is_another_run(whole, corpus, tmp_path):
    config = make_config(seed=1)
    errors = pretrain(corpus, tmp_path, config)
    assert errors["stage_1"]["after"] != whole[1]["stage_1"]["after"]
    assert asdict(config)["seed"] == 1


def test_another_run_is_at_the_folder(corpus, tmp_path):
    told = f"'{tmp_path}' is in use: process {os.getpid()}"
    with locked(tmp_path), pytest.raises(OSError, match=told):
        pretrain(corpus, tmp_path, make_config())
    assert os.listdir(tmp_path) == []


def test_a_corpus_that_has_changed_on_the_disk(corpus, tmp_path):
    shutil.copytree(corpus.directory, tmp_path / "corpus")
    path = Corpus(tmp_path / "corpus").shards[1].path
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(ValueError, match=f"The corpus is damaged: '{path}'. Run 'corpus build' again"):
        pretrain(Corpus(tmp_path / "corpus"), tmp_path / "run", make_config())
    assert os.listdir(tmp_path / "run") == []


def test_a_corpus_without_slices(tmp_path, corpus):
    with pytest.raises(ValueError, match="The corpus has no slice to train on"):
        pretrain(corpus.select([]), tmp_path / "run", make_config(held_out=0), progress=False)


def test_a_model_that_no_run_made_is_left_alone(tmp_path, corpus):
    torch.manual_seed(0)
    SToFM(6, 8, 1, heads=2).save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    for resume in (False, True):
        with pytest.raises(ValueError, match="holds a model that no run made there; name another"):
            pretrain(corpus, tmp_path, make_config(), resume=resume, progress=False)
    assert (tmp_path / "model.safetensors").read_bytes() == before
