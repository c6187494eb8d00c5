"""The check on a GPU, as far as a CPU can run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu import cells, check, layer
from benchmarks.gpu.part import Part
from benchmarks.gpu.report import as_table
from benchmarks.gpu.tests import Recorder
from benchmarks.speed.se2_transformer import AUTO, FORWARD, OFFICIAL, PLAIN, TRAINING

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "gpu_check.sh"


def part_of(path, seconds=1e6):
    return Part(SimpleNamespace(smoke=True, official=None, rows=path, seconds=seconds))


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def shell(*args, **environment):
    return subprocess.run(
        ["bash", str(SCRIPT), *args], env={**os.environ, **environment}, cwd="/",
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_all_parts_together_take_less_than_eight_minutes():
    assert list(check.BOXES) == ["tests", "layer", "cells", "train"]
    assert sum(check.BOXES.values()) + len(check.BOXES) * check.GRACE < 8 * 60 + 30
    assert sum(check.BOXES.values()) < 8 * 60
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_the_layer_at_its_smallest_sizes(tmp_path):
    part = part_of(tmp_path / "rows.jsonl")
    layer.measure(part, FORWARD, 2, 30, False)
    layer.measure(part, TRAINING, 1, 30, True)
    rows = rows_of(tmp_path / "rows.jsonl")
    assert [(row["case"], row["side"]) for row in rows] == [
        (case, side) for case in (FORWARD, TRAINING) for side in (AUTO, PLAIN)
    ]
    assert all(row["seconds"] > 0 and row["peak_mib"] >= 0 for row in rows)
    assert [row["dtype"] for row in rows] == ["float32"] * 2 + ["bfloat16"] * 2
    ratio = rows[1]["seconds"] / rows[0]["seconds"]
    assert rows[0]["note"] == f"{PLAIN} / this: {ratio:.3g}"


def test_aims():
    mine = {"seconds": 1.0, "peak_mib": 30 * 1024.0}
    rows = {AUTO: mine, OFFICIAL: {"seconds": 25.0}, PLAIN: {"seconds": 0.4}}
    said = list(layer.aims(AUTO, rows, (FORWARD, 16, 1000, False)))
    assert said == ["official / this: 25 (aim 20: met)", "plain-attention / this: 0.4"]
    said = list(layer.aims(AUTO, rows, (FORWARD, 16, 1000, True)))
    assert said[1] == "plain-attention / this: 0.4 (aim 0.5: missed)"
    assert list(layer.aims(AUTO, {AUTO: mine}, (FORWARD, 1, 100_000, False))) == [
        "30 GiB (aim under 20: missed)"
    ]
    assert list(layer.aims(AUTO, {AUTO: mine}, (TRAINING, 1, 20_000, False))) == [
        "30 GiB (aim under 40: met)"
    ]


def test_every_size_with_an_aim_is_measured():
    sizes = {(case, *size) for size in layer.SIZES for case in (FORWARD, TRAINING)}
    assert set(layer.SPEED) <= sizes
    assert set(layer.MEMORY) - sizes == {(FORWARD, 1, 100_000, False)}


def test_what_does_not_fit_leaves_a_note(tmp_path, monkeypatch):
    real = layer.SE2Benchmark.build

    def build(self, case, side, cells):
        if side == PLAIN:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(self, case, side, cells)

    monkeypatch.setattr(layer.SE2Benchmark, "build", build)
    layer.measure(part_of(tmp_path / "rows.jsonl"), FORWARD, 1, 30, False)
    note, row = rows_of(tmp_path / "rows.jsonl")
    assert note["note"] == "does not fit (CUDA out of memory. Tried to allocate 2 GiB)"
    assert row["side"] == AUTO and row["seconds"] > 0


def test_cells_at_their_smallest_size(tmp_path):
    cells.run(part_of(tmp_path / "rows.jsonl"))
    rows = rows_of(tmp_path / "rows.jsonl")
    assert [row["side"] for row in rows] == [cells.OFFICIAL, cells.OURS, cells.HALF] * 2
    assert [row["cells"] for row in rows] == [64] * 3 + [16] * 3
    for row in rows:
        assert row["cells_per_second"] == pytest.approx(row["cells"] / row["seconds"])
    assert "times as fast (aim 10:" in rows[1]["note"] and "smallest cosine 0.99" in rows[2]["note"]


def test_a_part_whose_time_is_over_says_so(tmp_path):
    part = part_of(tmp_path / "rows.jsonl", seconds=0.0)
    assert not part.has_time("encode V1")
    (row,) = rows_of(tmp_path / "rows.jsonl")
    assert row["case"] == "encode V1" and row["note"].startswith("left out")


def test_tests_are_recorded(tmp_path):
    recorder = Recorder(part_of(tmp_path / "rows.jsonl"))
    report = {"nodeid": "tests/gpu/test_a.py::b", "duration": 0.5, "skipped": False, "failed": False}
    recorder.session = SimpleNamespace(shouldstop=False)
    for change in (
        {"when": "setup", "outcome": "passed"},
        {"when": "call", "outcome": "passed"},
        {"when": "call", "outcome": "failed", "failed": True, "longrepr": "trace\nE  AssertionError"},
        {"when": "setup", "outcome": "skipped", "skipped": True, "longrepr": ("f", 1, "no GPU")},
    ):
        recorder.pytest_runtest_logreport(SimpleNamespace(**{**report, **change}))
    rows = rows_of(tmp_path / "rows.jsonl")
    assert [row["side"] for row in rows] == ["passed", "failed", "skipped"]
    assert rows[0]["case"] == "test_a.py::b" and rows[2]["note"] == "no GPU"
    assert rows[1]["note"] == "E  AssertionError" and recorder.session.shouldstop is False
    recorder.part._end = 0.0
    recorder.pytest_runtest_logreport(SimpleNamespace(**report, when="call", outcome="passed"))
    assert recorder.session.shouldstop


def test_the_report():
    rows = [
        {"part": "tests", "case": "a", "side": "passed", "seconds": 0.5, "machine": "M"},
        {"part": "tests", "case": "b", "side": "failed", "seconds": 1.5, "note": "1|2", "machine": "M"},
        {"part": "layer", "case": "forward", "side": AUTO, "cells": 1000, "seconds": 0.25},
    ]
    rows[2]["machine"] = "M"
    page = as_table(rows, "NVIDIA H100")
    assert page.startswith("# NVIDIA H100\n") and "1 passed, 1 failed" in page
    assert "| b | failed | 1.5 | 1\\|2 |" in page and "| a |" not in page
    assert "| forward | auto | 1,000 | 0.25 |" in page


def test_a_part_that_hangs_is_ended_with_its_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "BOXES", {"hangs": 1})
    monkeypatch.setattr(check, "GRACE", 0)
    monkeypatch.setattr(check, "SLOWER", 1)
    monkeypatch.setattr(check.sys, "executable", "/bin/sleep")
    real = subprocess.Popen
    started = []

    def popen(command, **kwargs):
        started.append(real(["/bin/sleep", "100"], **kwargs))
        return started[0]

    monkeypatch.setattr(check.subprocess, "Popen", popen)
    args = SimpleNamespace(smoke=True, official=None)
    status, seconds = check.run_part("hangs", tmp_path, args)
    assert status == "its time over" and seconds < 60 and started[0].poll() is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
def test_without_a_gpu_it_says_so(tmp_path, capsys):
    assert check.main(["--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "finds no CUDA GPU" in error and "--smoke" in error
    assert not list(tmp_path.iterdir())


def test_the_script_from_another_folder(tmp_path):
    done = shell("--smoke", "--part", "cells", "--out", str(tmp_path), PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "smoke" / "rows.json").read_text())
    assert {row["part"] for row in rows} == {"cells"} and len(rows) == 6
    assert "## cells" in (tmp_path / "smoke" / "table.md").read_text()


def test_the_script_says_what_is_missing(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    python.chmod(0o755)
    done = shell("--smoke", PYTHON=str(python), WHEELS=str(tmp_path / "none"))
    assert done.returncode == 2 and "lacks:" in done.stderr and "torch_geometric" in done.stderr
