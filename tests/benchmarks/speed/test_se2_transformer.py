import json

import pytest

from benchmarks.speed.se2_transformer import FORWARD, TRAINING, SE2Benchmark
from tests.benchmarks.speed.official_checkout import write_checkout

TINY = ["--layers", "2", "--heads", "2", "--channels", "16", "--gaussians", "8"]
TINY += ["--virtual-cells", "4", "--repeats", "1", "--device", "cpu"]


def main(*args):
    return SE2Benchmark.main([*TINY, *map(str, args)])


def test_against_an_official_checkout(here, tmp_path, capsys):
    path, checkout = tmp_path / "rows.json", write_checkout(tmp_path / "checkout")
    sides = ["official", "dense", "blocked", "auto", "plain-attention"]
    args = ("--official", checkout, "--sides", ",".join(sides))
    assert main(*args, "--cells", 30, "--json", path) == 0
    rows = {(row["case"], row["side"]): row for row in json.loads(path.read_text())}
    assert list(rows) == [(case, side) for case in (FORWARD, TRAINING) for side in sides]
    for case in (FORWARD, TRAINING):
        for side in sides[1:-1]:
            assert rows[case, side]["compared_with"] == "official"
            assert rows[case, side]["max_relative_error"] < 1e-5
        assert rows[case, "official"]["median_s"] > 0 and rows[case, "plain-attention"]["median_s"] > 0
    assert "| official / this: seconds | official / this: MiB |" in capsys.readouterr().out


@pytest.mark.parametrize("case", [FORWARD, TRAINING])
def test_different_outputs_are_an_error(here, case, tmp_path, capsys):
    checkout = write_checkout(tmp_path / "checkout", scale=1.01)
    args = ("--official", checkout, "--cells", 30, "--sides", "official,dense")
    assert main(*args, "--cases", case) == 2
    assert "'dense' differs from 'official' at 30 cells by" in capsys.readouterr().err


@pytest.mark.parametrize("args", [("--sides", "sparse"), ("--sides", "official"), ("--cases", "back")])
def test_wrong_options_are_explained(args, capsys):
    assert main("--cells", 20, *args) == 2
    error = capsys.readouterr().err
    assert "Unknown --sides" in error and f" {args[1]}" in error and "known: dense" in error


def test_batches_and_brain_floats(here, tmp_path):
    path, checkout = tmp_path / "rows.json", write_checkout(tmp_path / "checkout")
    args = ("--official", checkout, "--sides", "official,dense,plain-attention", "--batch", 3)
    assert main(*args, "--cells", 20, "--json", path) == 0
    rows = {(row["case"], row["side"]): row for row in json.loads(path.read_text())}
    assert all(rows[case, "dense"]["max_relative_error"] < 1e-5 for case in (FORWARD, TRAINING))
    assert main(*args, "--cells", 20, "--cases", FORWARD, "--bf16", "--json", path) == 0
    error = json.loads(path.read_text())[1]["max_relative_error"]
    assert 1e-4 < error < 0.1  # Three digits, not seven.
