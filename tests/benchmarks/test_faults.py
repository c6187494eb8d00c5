import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.kills.commands import SHARES, commands

ROOT = Path(__file__).resolve().parents[2]


def write_counter(keeps):
    """What counts to 20 in a file, 10 milliseconds each, and goes on from there."""

    def command(out):
        import time

        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        step = out / "checkpoints" / "step"
        start = int(step.read_text()) if step.exists() else 0
        for number in range(start + 1, 21):
            time.sleep(0.01)
            step.with_suffix(".part").write_text(str(number))
            step.with_suffix(".part").replace(step)
        (out / "model.bin").write_text("20" if keeps or start == 0 else f"from {start}")
        return 0

    return command


@pytest.mark.parametrize("keeps", [True, False])
def test_a_command_is_killed_and_goes_on(keeps, tmp_path):
    found = faults.kill(write_counter(keeps), tmp_path, 3, random.Random(1), signal.SIGKILL)
    assert (found.kills, found.files, found.curves) == (3, 1, 0) and found.ends >= 1
    assert (found.wrong == []) == keeps and set(found.wrong) <= {"different: model.bin"}


def test_what_is_cut_and_what_is_left_are_found(tmp_path):
    def command(out):
        out.mkdir(exist_ok=True)
        if (out / "a.json").exists():
            return 0
        (out / "a.json").write_text("{")
        (out / ".b.tmp").write_text("half")
        signal.pause()

    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="Expecting"):  # What cannot be read is not compared.
        faults.kill(command, tmp_path, 1, Always(1.0), signal.SIGKILL)


class Always:
    def __init__(self, value):
        self.value = value

    def uniform(self, low, high):
        return self.value


def test_kills_are_dealt_to_all():
    names = list(SHARES)
    for kills in (12, 100, 317):
        dealt = faults.shares(kills, names)
        assert sum(dealt.values()) == kills and min(dealt.values()) >= 1
    assert faults.shares(100, names) == SHARES
    assert faults.shares(7, ["report"]) == {"report": 7}


def test_the_whole(tmp_path, monkeypatch, capsys):
    known = {"corpus": write_counter(True), "fit": write_counter(False)}
    monkeypatch.setattr(faults, "prepare", lambda folder, seed, parts: 0)
    monkeypatch.setattr(faults, "import_all", lambda: None)
    monkeypatch.setattr(faults, "commands", lambda folder, seed: known)
    path = tmp_path / "new" / "found.json"
    assert faults.main(["--only", "corpus", "--kills", "2", "--out", str(path)]) == 0
    assert faults.main(["--only", "fit", "--kills", "4", "--seed", "3"]) == 1
    out = capsys.readouterr().out
    assert "corpus       2 kills" in out and "2 times SIGKILL" in out and "nothing wrong" in out
    assert "    different: model.bin\n" in out
    found = json.loads(path.read_text())
    assert found["kills"] == 2 and found["wrong"] == 0 and found["commands"]["corpus"]["files"] == 1
    with pytest.raises(SystemExit):
        faults.main(["--only", "corpus,other"])
    assert "unknown command 'other'; known: corpus, fit, pretrain" in capsys.readouterr().err


def test_a_corpus_that_is_killed(tmp_path):
    """In a process of its own: a fork of one whose threads have computed may wait for ever."""
    path, command = tmp_path / "found.json", [sys.executable, str(ROOT / "benchmarks/faults.py")]
    options = ["--only", "corpus", "--kills", "2", "--out", str(path)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert found["kills"] == 2 and found["wrong"] == 0 and found["commands"]["corpus"]["files"] == 6


def test_the_commands(tmp_path):
    assert set(commands(tmp_path, 0)) == set(SHARES)
