import pytest

from benchmarks.speed import pretrain_tables as tables
from tests.benchmarks.speed.pretrain_rows import make_rows


def test_sizes():
    lines = tables.size_table(make_rows()).splitlines()
    assert lines[0] == "|  | corpus | cells | seconds | cells/s | peak MiB | bytes/cell | note |"
    assert lines[2] == "| corpus build | given | 1,000 | 10 | 100 | 500 | 2,048 |  |"
    assert lines[4] == "| stage 1, a pass | given | 1,000 | 30 | 200 | 500 |  |  |"
    failed = {"case": "build", "side": "given", "cells": 5, "median_s": None, "peak_mib": None}
    assert tables.size_table([{**failed, "note": "out of memory"}]).splitlines()[2] == (
        "| corpus build | given | 5 |  |  |  |  | out of memory |"
    )


def test_where_time_goes():
    lines = tables.time_table(make_rows()).splitlines()
    assert lines[0] == "|  | stage 1, 1,000 cells | stage 2, 1,000 cells |"
    assert lines[2] == "| waiting for data | 50.0 ms, 5.0 % | 50.0 ms, 5.0 % |"
    assert "| backward | 600.0 ms, 60.0 % | 600.0 ms, 60.0 % |" in lines
    assert "| an evaluation | 4 s, 2 times a pass | 4 s, 2 times a pass |" in lines
    assert "| a checkpoint | 1 s, 3 times a pass | 1 s, 3 times a pass |" in lines


def test_what_the_loader_does():
    lines = tables.loader_table(make_rows()).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| reading", "| MaskCells", "| rest", "| a step"
    ]  # fmt: skip
    assert lines[-1] == "| a step | 60.0 ms | 60.0 ms |"


def test_waiting():
    rows = make_rows()
    rows[3]["waiting_share"], rows[3]["parts"] = 0.25, {**rows[3]["parts"], "waiting for data": 0.25}
    assert tables.waiting_lines(rows).splitlines() == [
        "- stage 1, 1,000 cells: 5.0 % of the time is waiting for data, below 10 %",
        "- stage 2, 1,000 cells: 25.0 % of the time is waiting for data, NOT below 10 %",
    ]


def test_exponents():
    rows = make_rows(1000, 20.0) + make_rows(10_000, 50.0) + make_rows(100_000, 500.0)
    found = tables.exponents(rows)
    assert set(found) == {"build", "encode", "stage_1", "stage_2"}
    for values in found.values():  # Between 20 at the start and 500 two powers of ten later.
        assert values == pytest.approx({"all": 0.699, "large": 1.0}, abs=1e-3)
    first = tables.exponent_lines(rows).splitlines()[0]
    assert first == (
        "- time of corpus build grows as cells to the power of 0.70; from 10,000 cells on 1.00"
    )
    assert tables.exponents(make_rows()) == {} and tables.exponent_lines(make_rows()) == ""


def test_a_pass_counts_the_cells_that_are_trained_on():
    rows = make_rows(1000, 20.0) + make_rows(4000, 80.0)
    for row in rows[2:4]:
        row["train_cells"] = 500
    assert tables.exponents(rows)["build"]["all"] == pytest.approx(1.0)
    assert tables.exponents(rows)["stage_1"]["all"] == pytest.approx(2 / 3)
