import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import resume
from benchmarks.interrupted_run import Outcome
from stofm_pyg.corpus import Corpus
from stofm_pyg.train.pretraining.config import PretrainConfig
from stofm_pyg.train.pretraining.presets import PRESETS
from tests.benchmarks.curve_files import write_curve

TOTALS = {"adaptation": 2, "stage_1": 4, "stage_2": 3}


class Training:
    """Stands for the command: goes on to the step of the signal, and writes curve and weights."""

    def __init__(self, loses=0.0, code=None):
        self.loses, self.code = loses, code
        self.commands, self.done = [], {}

    def __call__(self, command, at=None, number=None, delay=0.0, bars=(), cwd=None):
        assert command[1:4] == ["-m", "stofm_pyg", "pretrain"] and 0 <= delay <= 0.1
        out = command[command.index("--out") + 1]
        self.commands.append((out, at, number))
        steps = [(name, step) for name, total in TOTALS.items() for step in range(1, total + 1)]
        start = self.done.get(out, 0)
        end = len(steps) if at is None else max(start, steps.index(at))
        for name in TOTALS:
            own = [i for i in range(start, end) if steps[i][0] == name]
            losses = [i + (self.loses if start else 0.0) for i in own]
            if own:
                first = steps[own[0]][1]
                write_curve(Path(out) / "tensorboard" / name, losses, first - 1)
        self.done[out] = end
        if at is None:
            save_file({"weight": torch.ones(2)}, f"{out}/model.safetensors")
            return Outcome(0, {name: (0, n) for name, n in TOTALS.items()}, TOTALS, None, "")
        code = {signal.SIGKILL: -9, signal.SIGTERM: 143}[number] if self.code is None else self.code
        return Outcome(code, {at[0]: (0, at[1])}, TOTALS, at, "last words")


@pytest.fixture
def train(monkeypatch):
    monkeypatch.setattr(resume, "make_corpus", lambda folder, seed: folder / "corpus")

    def use(training):
        monkeypatch.setattr(resume, "run_until", training)
        return training

    return use


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_nothing_differs(train, tmp_path, capsys, name):
    training = train(Training())
    assert resume.main(["--kills", "4", "--signal", name, "--work", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"4 times SIG{name}" in out and "Compared 3 curves of 9 points" in out
    assert "1 files of weights" in out and "Nothing differs" in out and "DIFFERENT" not in out
    assert len(training.commands) == 6  # Whole, four times broken off, and to the end.
    assert training.commands[0][0].endswith("whole")
    assert {command[2] for command in training.commands[1:]} == {signal.Signals[f"SIG{name}"]}


def test_a_difference_is_found(train, tmp_path, capsys):
    train(Training(loses=1e-6))
    assert resume.main(["--kills", "2", "--work", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "DIFFERENT: stage_2/train/loss differs from step" in out and "Something differs" in out


def test_another_exit_code(train, tmp_path, capsys):
    train(Training(code=1))
    assert resume.main(["--kills", "2", "--work", str(tmp_path)]) == 2
    assert "exit code 1 instead of -9 or 0: last words" in capsys.readouterr().err


def test_old_runs_are_not_continued(train, tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    assert resume.main(["--work", str(tmp_path)]) == 2
    assert "holds runs already" in capsys.readouterr().err


def test_steps():
    every = [(name, step) for name, total in TOTALS.items() for step in range(1, total + 1)]
    chosen = resume.choose_steps(TOTALS, 4, seed=0)
    assert len(set(chosen)) == 4 and chosen == sorted(chosen, key=every.index)
    assert chosen == resume.choose_steps(TOTALS, 4, seed=0) != resume.choose_steps(TOTALS, 4, seed=1)
    assert resume.choose_steps(TOTALS, 9, seed=0) == every
    assert len(resume.choose_steps(TOTALS, 20, seed=0)) == 20
    with pytest.raises(ValueError, match="No progress bar of adaptation, stage_1, stage_2"):
        resume.choose_steps({"encode": 5}, 4, seed=0)


def test_wrong_options(capsys):
    assert resume.main(["--kills", "0"]) == 2
    assert "--kills must be at least 1 (got 0)" in capsys.readouterr().err


def test_corpus_and_configuration(tmp_path):
    corpus = Corpus(resume.make_corpus(tmp_path, seed=0))
    assert len(corpus) == 4 and corpus.num_cells == 640
    assert sum(shard.num_parts for shard in corpus.shards) == 16
    config = PretrainConfig.from_dict(resume.CONFIG, PRESETS["tiny"])
    # Other numbers of steps between checkpoints than between evaluations, so that both are broken off.
    for stage in (config.stage_1, config.stage_2):
        assert 1 < stage.save_every < stage.evaluate_every
