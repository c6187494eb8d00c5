import json

import pytest

from benchmarks.speed.rows import rows_table, write_rows


def row(side, median_s, peak_mib, cells=1000, case="forward", **more):
    values = {"case": case, "side": side, "cells": cells, "median_s": median_s, "peak_mib": peak_mib}
    return values | more


ROWS = [
    row("official", 6.0, 1620.0),
    row("plain-attention", 0.25, 20.0),
    row("dense", 0.5, 120.0),
    row("official", None, None, cells=20_000, note="skipped"),
    row("dense", 50.0, 900.0, cells=20_000),
]


def test_rows_come_back(tmp_path):
    write_rows(tmp_path / "new" / "rows.json", ROWS)
    assert json.loads((tmp_path / "new" / "rows.json").read_text()) == ROWS
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["rows.json"]


def test_no_rows(tmp_path):
    write_rows(tmp_path / "rows.json", [])
    assert json.loads((tmp_path / "rows.json").read_text()) == []


def test_a_row_without_a_number_must_say_so(tmp_path):
    with pytest.raises(ValueError, match=r"lacks \['peak_mib'\]; put null"):
        write_rows(tmp_path / "rows.json", [{key: 0 for key in list(ROWS[0])[:4]}])
    assert not (tmp_path / "rows.json").exists()


def test_the_table_compares_with_the_baselines_of_the_same_size():
    lines = [line.strip("| ").split(" | ") for line in rows_table(ROWS, ("official", "x")).splitlines()]
    assert lines[0] == [
        *("case", "cells", "side", "seconds", "peak MiB"),
        *("time vs official", "memory vs official", "note"),
    ]
    assert lines[3][2:7] == ["plain-attention", "0.25", "20", "24x faster", "81x less"]
    assert lines[4][2:7] == ["dense", "0.5", "120", "12x faster", "13.5x less"]
    assert lines[5][1:5] == ["20,000", "official", "-", "-"]
    assert lines[5][-1] == "skipped"
    # Nothing to compare with at this size.
    assert lines[6][1:7] == ["20,000", "dense", "50", "900", "-", "-"]


def test_a_side_that_is_slower_than_the_baseline():
    lines = rows_table(ROWS[:3], ("plain-attention",)).splitlines()
    assert "2x slower | 6x more" in lines[-1]
    assert "note" not in lines[0]
