import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stofm_pyg.cli import main
from stofm_pyg.corpus import Corpus
from stofm_pyg.models import SToFM
from stofm_pyg.models.features import PCAFeatures
from tests.train.pretrain_case import CONFIG, make_corpus

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A corpus, and a configuration without dropout."""
    folder = tmp_path_factory.mktemp("pretrain")
    make_corpus(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def arguments(folder, out, *more):
    return ["pretrain", "--preset", "tiny", "--corpus", str(folder / "corpus"), "--out", str(out),
            "--config", str(folder / "config.json"), "--workers", "0", *more]  # fmt: skip


@pytest.fixture(scope="module")
def whole(folder):
    assert main(arguments(folder, folder / "whole")) == 0
    return folder / "whole"


def test_the_weights_lie_in_the_folder(whole):
    model = SToFM.from_pretrained(whole)
    size = model.features.num_features
    assert load_file(whole / "model.safetensors")["mask_token"].shape == (size,)
    assert model.cell_encoder is not None and model.vocab is not None


def test_what_the_command_line_says_counts(folder, tmp_path, whole):
    held_out = json.loads((whole / "pretraining.json").read_text())["held_out"]
    assert held_out == 1
    names = [
        entry["name"]
        for entry in json.loads((folder / "corpus" / "manifest.json").read_text())["slices"]
    ]
    more = ["--seed", "5", "--held-out", names[0], "--cell-encoder", str(whole / "frozen_encoder")]
    assert main(arguments(folder, tmp_path / "a", *more)) == 0
    config = json.loads((tmp_path / "a" / "pretraining.json").read_text())
    assert config["seed"] == 5 and config["held_out"] == [names[0]]
    assert not (tmp_path / "a" / "checkpoints" / "adaptation").exists()


def test_from_a_saved_model(folder, whole, tmp_path):
    assert main(arguments(folder, tmp_path / "a", "--model", str(whole), "--device", "cpu")) == 0
    start, end = SToFM.from_pretrained(whole), SToFM.from_pretrained(tmp_path / "a")
    moved = (start.encoder.lin_in.weight - end.encoder.lin_in.weight).abs().max()
    assert 0 < float(moved) < 0.2
    assert not (tmp_path / "a" / "checkpoints" / "adaptation").exists()
    assert end.settings == start.settings == Corpus(folder / "corpus").settings


def test_a_corpus_of_components(folder, tmp_path):
    build = ["corpus", "build", str(folder / "tissue.h5ad"), "--out", str(tmp_path / "corpus")]
    build += ["--radius", "2.5", "--cells-per-part", "30", "--num-features", "5"]
    assert main(build) == 0
    out = tmp_path / "run"
    assert main([*arguments(tmp_path, out), "--config", str(folder / "config.json")]) == 0
    model = SToFM.from_pretrained(out)
    assert isinstance(model.features, PCAFeatures) and model.settings.radius == 2.5
    assert model.embed_anndata(folder / "tissue.h5ad").shape == (270, 8)
    assert list(json.loads((out / "errors.json").read_text())) == ["stage_1"]


def test_auto_goes_on_and_begins(folder, whole, tmp_path, capsys):
    assert main(arguments(folder, whole, "--resume", "never")) == 2
    assert "go on with '--resume auto'" in capsys.readouterr().err
    assert main(arguments(folder, whole, "--resume", "auto")) == 0
    assert main(arguments(folder, tmp_path / "new", "--resume", "auto")) == 0
    assert (tmp_path / "new" / "errors.json").read_text() == (whole / "errors.json").read_text()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--workers", "-1"], "--workers must not be negative"),
        (["--config", "nowhere.yaml"], "no configuration 'nowhere.yaml'"),
        (["--corpus", "nowhere"], "nowhere"),
        (["--held-out", "nothing"], "nothing"),
        (["--cell-encoder", "nowhere"], "nowhere"),
        (["--model", "nowhere"], "There is no model 'nowhere'"),
        (["--device", "gpu"], "The device 'gpu' cannot be used here"),
    ],
)
def test_bad_input(folder, tmp_path, capsys, more, words):
    assert main(arguments(folder, tmp_path / "a", *more)) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_end(folder, tmp_path, monkeypatch, number, status):
    from stofm_pyg.train.engine.trainer import Trainer

    descend = Trainer._descend

    def signalled(self, parts):
        os.kill(os.getpid(), number)
        return descend(self, parts)

    monkeypatch.setattr(Trainer, "_descend", signalled)
    assert main(arguments(folder, tmp_path / "a")) == status
    assert list((tmp_path / "a" / "checkpoints" / "adaptation").glob("step-*.pt"))


def test_two_processes_do_as_one(folder, whole, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "stofm_pyg", *arguments(folder, tmp_path / "two")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((out / "errors.json").read_text()) for out in (whole, tmp_path / "two"))
    for stage in one:
        for part in one[stage]:
            assert two[stage][part] == pytest.approx(one[stage][part], rel=1e-3, abs=1e-4)
    first, second = (load_file(out / "model.safetensors") for out in (whole, tmp_path / "two"))
    assert all(torch.allclose(first[key], second[key], atol=1e-3) for key in first)
