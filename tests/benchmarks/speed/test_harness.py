import json
import os

import pytest
import torch

from benchmarks.speed.harness import Benchmark, high_water, in_child, table, time_in_turns


class Sums(Benchmark):
    """Two sides that sum numbers, one of which cannot take more than 100."""

    cases, sides, baselines = ("sum",), ("slow", "fast"), ("slow",)

    def build(self, case, side, cells):
        def run():
            if side == "fast" and cells > 100:
                raise MemoryError("too many")
            return sum(range(cells))

        return run

    def check(self, case, cells, calls):
        return {side: {"result": call()} for side, call in calls.items()}


def test_sweep(here, tmp_path, capsys):
    path = tmp_path / "rows.json"
    args = ["--cells", "200", "10", "--json", str(path), "--repeats", "2", "--device", "cpu"]
    assert Sums.main(args) == 0
    rows = json.loads(path.read_text())
    assert [(row["cells"], row["side"]) for row in rows] == [
        (cells, side) for cells in (10, 200) for side in ("slow", "fast")
    ]
    assert [row.get("note") for row in rows] == [None, None, None, "failed (too many)"]
    assert rows[0]["result"] == rows[1]["result"] == 45 and rows[0]["repeats"] == 2
    assert rows[2]["median_s"] > 0 and rows[2]["peak_mib"] >= 0 and rows[3]["median_s"] is None
    assert f"torch {torch.__version__}" in rows[0]["machine"]
    assert "| sum | 200 | slow |" in capsys.readouterr().out
    assert Sums.main(["--cells", "0"]) == 2
    assert "--cells and --repeats take 1 or more (got [0], 5)" in capsys.readouterr().err


def test_turns(here):
    seen = []
    sides = {name: (lambda name=name: seen.append(name)) for name in "ab"}
    times = time_in_turns(sides, 2)
    assert seen == ["b", "a", "a", "b", "b", "a"]
    assert times["a"]["repeats"] == 2 and times["b"]["median_s"] > 0


def test_high_water():
    before = high_water(reset=True)
    torch.ones(16 * 2**20)
    assert 60 < high_water() - before < 70
    assert high_water(reset=True) - before < 10


def test_a_process_of_its_own(monkeypatch):
    assert in_child(os.getpid) != os.getpid()
    with pytest.raises(RuntimeError):  # As if it had been killed.
        in_child(os.abort)


def test_table():
    base = {"case": "a", "cells": 1000, "side": "base", "median_s": 3.0, "peak_mib": 500.0}
    rows = [
        base,
        {**base, "side": "ours", "median_s": 0.5, "peak_mib": 1000.0, "rate": 1234.5},
        {**base, "side": "no", "median_s": None, "peak_mib": None, "note": "failed"},
    ]
    assert table(rows, ["base"], ["rate"]).splitlines() == [
        "| case | cells | side | seconds | peak MiB | rate | base / this: seconds | base / this: MiB "
        "| note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a | 1,000 | base | 3 | 500 |  |  |  |  |",
        "| a | 1,000 | ours | 0.5 | 1,000 | 1,234 | 6 | 0.5 |  |",
        "| a | 1,000 | no |  |  |  |  |  | failed |",
    ]


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_unknown_device(device, capsys):
    assert Sums.main(["--device", device]) == 2
    assert f"The device '{device}' cannot be used here" in capsys.readouterr().err
