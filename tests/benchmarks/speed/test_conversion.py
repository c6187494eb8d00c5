import json

import pytest

from benchmarks.speed.conversion import STEPS, ConversionBenchmark


def test_each_step_is_timed_and_all_are_their_sum(here, tmp_path, capsys):
    path = tmp_path / "rows.json"
    args = ["--cells", "400", "200", "--genes", "70", "--detected", "20", "--device", "cpu"]
    assert ConversionBenchmark.main([*args, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert [row["cells"] for row in rows] == [200, 400]
    for row in rows:
        assert all(row[step] > 0 for step in STEPS) and row["peak_mib"] > 50
        assert row["median_s"] == pytest.approx(sum(row[step] for step in STEPS))
    out = capsys.readouterr().out
    for step in ("all", *STEPS):
        assert f"time of {step} grows as cells to the power of" in out
