import json
import signal
import sys

import pytest
from torch.utils.tensorboard import SummaryWriter

from benchmarks import faults

# Counts to 40 in a file, 20 milliseconds each, and goes on from there.
COUNTER = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(out / "checkpoints").mkdir(parents=True, exist_ok=True)
step = out / "checkpoints" / "step"
start = int(step.read_text()) if step.exists() else 0
for number in range(start + 1, 41):
    time.sleep(0.02)
    step.with_suffix(".tmp").write_text(str(number))
    step.with_suffix(".tmp").replace(step)
(out / "model.bin").write_text("40" if KEEPS or start == 0 else f"from {start}")
"""


def write_counter(folder, keeps):
    path = folder / "counter.py"
    path.write_text(f"KEEPS = {keeps}\n{COUNTER}")
    return [sys.executable, str(path)]


@pytest.mark.parametrize(("keeps", "code"), [(True, 0), (False, 1)])
def test_a_run_is_killed_and_goes_on(keeps, code, monkeypatch, capsys):
    monkeypatch.setattr(faults, "make_command", lambda folder, seed: write_counter(folder, keeps))
    assert faults.main(["--kills", "2"]) == code
    out = capsys.readouterr().out
    assert "2 times SIGKILL" in out and "0 curves of 0 points and 1 files compared" in out
    assert ("Nothing differs" in out) == keeps and ("DIFFERENT: model.bin" in out) != keeps


def test_a_command_that_fails():
    with pytest.raises(ValueError, match="ended with exit code 3: last words"):
        code = "import sys; print('last words', file=sys.stderr); sys.exit(3)"
        faults.run([sys.executable, "-c", code])
    with pytest.raises(ValueError, match="exit code -15"):  # It should have saved and ended with 143.
        faults.run([sys.executable, "-c", "import time; time.sleep(9)"], 0.5, signal.SIGTERM)


def test_what_is_compared(tmp_path):
    with SummaryWriter(str(tmp_path / "tensorboard" / "stage_1")) as writer:
        for step, value in ((1, 0.5), (2, float("nan"))):
            writer.add_scalar("train/loss", value, step)
            writer.add_scalar("train/cells_per_second", value, step)
    (tmp_path / "checkpoints").mkdir()
    for name in ("checkpoints/step-1.pt", "model.safetensors", ".model.tmp"):
        (tmp_path / name).write_text("")
    found = faults.content(tmp_path)
    assert found.pop("stage_1/train/loss") == [(1, "0.5"), (2, "nan")]
    assert list(found) == ["model.safetensors"]


def test_the_command(tmp_path):
    command = faults.make_command(tmp_path, 0)
    assert command[1:4] == ["-m", "stofm_pyg", "pretrain"] and "auto" in command
    assert json.loads((tmp_path / "config.json").read_text()) == faults.CONFIG
    assert (tmp_path / "corpus" / "manifest.json").is_file()
