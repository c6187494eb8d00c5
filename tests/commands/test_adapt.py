import json
import logging
import os
import signal

import anndata
import numpy as np
import pytest
import torch
from scipy import sparse
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stofm_pyg.cli import main
from stofm_pyg.data import GeneVocab, RankValueTokenizer
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.train import Trainer

SHORT = ["--preset", "tiny", "--steps", "6", "--max-tokens", "600", "--save-every", "2"]


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """Two files of 60 cells and 30 genes."""
    folder, rng = tmp_path_factory.mktemp("slices"), np.random.default_rng(0)
    out = []
    for name in ("a", "b"):
        counts = rng.poisson(rng.gamma(0.5, 2.0, (60, 30))).astype("float32")
        counts[:, 0] += 1
        adata = anndata.AnnData(sparse.csr_matrix(counts))
        adata.var_names = [f"GENE{i}" for i in range(30)]
        adata.write_h5ad(folder / f"{name}.h5ad")
        out.append(str(folder / f"{name}.h5ad"))
    return out


def adapt(slices, out, *more):
    return main(["adapt", *slices, "--vocab", "slices", "--out", str(out), *SHORT, *more])


def curves(out):
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def test_what_is_written(slices, tmp_path):
    assert adapt(slices, tmp_path) == 0
    encoder = CellEncoder.from_pretrained(tmp_path)
    vocab = GeneVocab.load(tmp_path / "vocab.json")
    encoder.check_vocab(vocab)
    assert encoder.gene_head is not None
    x = encoder.encode(RankValueTokenizer(vocab, encoder.max_length)(slices[0]))
    assert x.shape == (60, encoder.out_channels)
    assert torch.allclose(x.norm(dim=1), torch.ones(60), atol=1e-5)

    config = json.loads((tmp_path / "config.json").read_text())
    assert config["slices"] == slices and config["settings"]["num_steps"] == 6
    assert config["vocab"] == vocab.fingerprint and 0 <= config["held_out_accuracy"] <= 1
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000004.pt", "step-00000006.pt"]
    found = curves(tmp_path)
    assert set(found) == {
        f"adapt/{name}"
        for name in ("mgm", "contrastive", "loss", "accuracy", "grad_norm", "lr", "held_out_accuracy")
    }
    assert sorted(found["adapt/loss"]) == [1, 2, 3, 4, 5, 6]


def test_resume_is_the_same_run(slices, tmp_path, caplog):
    assert adapt(slices, tmp_path / "whole") == 0
    assert adapt(slices, tmp_path / "broken") == 0
    newest = tmp_path / "broken" / "checkpoints" / "step-00000006.pt"
    newest.write_bytes(newest.read_bytes()[:500])
    with caplog.at_level(logging.INFO):
        assert adapt(slices, tmp_path / "broken", "--resume", "auto") == 0
    assert "step-00000006.pt" in caplog.text and "Going on after step 4" in caplog.text
    assert curves(tmp_path / "broken") == curves(tmp_path / "whole")
    for name in ("cell_bert/model.safetensors", "gene_head.safetensors"):
        one, other = (tmp_path / run / name for run in ("whole", "broken"))
        assert one.read_bytes() == other.read_bytes()


def test_seed_and_the_global_generator(slices, tmp_path):
    before = torch.get_rng_state()
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert adapt(slices[:1], tmp_path / name, "--seed", seed) == 0
    assert torch.equal(before, torch.get_rng_state())
    a, b, c = (CellEncoder.from_pretrained(tmp_path / name).proj.weight for name in "abc")
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_goes_on_from_an_adapted_encoder_with_its_vocabulary(slices, tmp_path):
    assert adapt(slices[:1], tmp_path / "first") == 0
    vocab = str(tmp_path / "first" / "vocab.json")
    arguments = ["--vocab", vocab, "--out", str(tmp_path / "second"), "--init", str(tmp_path / "first")]
    assert main(["adapt", slices[1], *arguments, *SHORT, "--lr", "1e-9"]) == 0
    first, second = (CellEncoder.from_pretrained(tmp_path / name) for name in ("first", "second"))
    assert torch.allclose(first.proj.weight, second.proj.weight, atol=1e-6)


def error_of(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1 and not any("Traceback" in line for line in lines)
    return errors[0]


def test_a_folder_in_use(slices, tmp_path, capsys):
    assert adapt(slices, tmp_path) == 0
    assert adapt(slices, tmp_path, "--resume", "never") == 2
    assert "go on with '--resume auto'" in error_of(capsys)
    assert adapt(slices, tmp_path, "--resume", "auto", "--lr", "1e-2") == 2
    assert "lr 0.002 -> 0.01" in error_of(capsys)


def test_interrupted_and_gone_on(slices, tmp_path, monkeypatch):
    assert adapt(slices, tmp_path / "whole") == 0
    descend = Trainer._descend

    def pressed(self, parts):
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return descend(self, parts)

    monkeypatch.setattr(Trainer, "_descend", pressed)
    assert adapt(slices, tmp_path / "broken") == 143
    monkeypatch.undo()
    assert not (tmp_path / "broken" / "cell_bert").exists()
    assert adapt(slices, tmp_path / "broken") == 0
    name = "cell_bert/model.safetensors"
    assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--steps", "0"], "must be at least 1 (got 0"),
        (["--mask-rate", "2"], "'rate' must lie in (0, 1] (got 2.0)"),
        (["--temperature", "0"], "'temperature' must be positive"),
        (["--layer", "counts"], "counts"),
        (["--device", "toaster"], "The device 'toaster' cannot be used here"),
        (["--lr", "0"], "'lr' must be positive"),
    ],
)
def test_bad_arguments(slices, tmp_path, capsys, more, message):
    assert adapt(slices, tmp_path, *more) == 2
    assert message in error_of(capsys)


def test_no_such_slice(tmp_path, capsys):
    assert adapt([str(tmp_path / "no.h5ad")], tmp_path / "out") == 2
    assert "There is no file" in error_of(capsys)
    assert not (tmp_path / "out").exists()


def test_an_encoder_of_another_vocabulary(slices, tmp_path, capsys):
    assert adapt(slices, tmp_path / "first") == 0
    adata = anndata.read_h5ad(slices[0])[:, :20].copy()
    adata.write_h5ad(tmp_path / "few.h5ad")
    assert adapt([str(tmp_path / "few.h5ad")], tmp_path / "two", "--init", str(tmp_path / "first")) == 2
    assert "do not fit" in error_of(capsys)


def test_normalised_counts(slices, tmp_path, capsys):
    adata = anndata.read_h5ad(slices[0])
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "log.h5ad")
    assert adapt([str(tmp_path / "log.h5ad")], tmp_path / "out") == 2
    assert "layer" in error_of(capsys)
