import json

import pytest

from benchmarks.speed import scaling_cost
from benchmarks.speed.scaling_cost import largest
from tests.benchmarks.speed.pretrain_rows import make_rows


def test_the_formula():
    cells = 3_600_000
    costs = scaling_cost.scaling_cost(make_rows(), cells, gpus=4, workers=2, epochs=(2, 1))
    assert costs["build"]["hours"] == pytest.approx(1000 * 10 / 2 / 1000)  # 100 cells a second.
    assert costs["build"]["device_hours"] == pytest.approx(10)
    assert costs["build"]["bytes"] == cells * 2048
    assert costs["encode"]["hours"] == pytest.approx(1000 / 400 / 4)
    assert costs["encode"]["bytes"] == cells * 256
    # 36,000 steps with half a second of evaluation and a quarter of checkpoint each: 7.5 hours.
    assert costs["stage_1"]["hours"] == pytest.approx(2 * (1000 / 200 / 4 + 7.5))
    assert costs["stage_2"]["hours"] == pytest.approx(1000 / 50 / 4 + 7.5)
    assert costs["stage_2"]["device_hours"] == pytest.approx(4 * costs["stage_2"]["hours"])
    assert costs["stage_1"]["bytes"] is None


def test_efficiency_and_epochs():
    costs = scaling_cost.scaling_cost(make_rows(), 3_600_000, 4, 1, (3, 0), efficiency=0.5)
    assert costs["build"]["hours"] == pytest.approx(10)
    assert costs["encode"]["hours"] == pytest.approx(1000 / 400 / 2)
    assert costs["stage_1"]["hours"] == pytest.approx(3 * (1000 / 200 / 2 + 7.5))
    assert costs["stage_2"]["hours"] == 0


def test_the_largest_row_that_was_timed_counts():
    small, large = make_rows(1000), make_rows(50_000)
    assert largest(small + large + make_rows(2000), "stage_1") == large[2]
    untimed = {**large[0], "cells_per_second": None}
    assert largest([small[0], untimed], "build") == small[0]
    assert largest([untimed], "build") == untimed
    assert largest(small, "stage_3") is None


def test_a_corpus_that_was_not_built_here():
    rows = make_rows()
    rows[0]["cells_per_second"] = None
    costs = scaling_cost.scaling_cost(rows, 1e6)
    assert costs["build"]["hours"] is None and costs["build"]["bytes"] == 2048e6


def test_the_script(tmp_path, capsys):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(make_rows()))
    assert scaling_cost.main([str(path), "--cells", "3.6e6", "--gpus", "4", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "Measured on: a machine; preset tiny" in out
    assert "3,600,000 cells on 4 x cpu as measured" in out
    assert "| corpus build | 1 | 100 | 2 | 5 | 10 | 6.87 |" in out
    assert "| stage 1 | 2 | 200 | 4 | 17.5 | 70 |  |" in out
    # 5 + 0.625 + 17.5 + 12.5 hours.
    assert "| all |  |  |  | 35.6 | 122 without the build | 7.72 |" in out


@pytest.mark.parametrize(
    ("args", "content", "message"),
    [
        (["--gpus", "0"], "[]", "must be positive"),
        (["--efficiency", "1.5"], "[]", "--efficiency in (0, 1]"),
        ([], "[]", "hold none of build, encode, stage_1, stage_2"),
        ([], "{", "is no JSON"),
    ],
)
def test_what_cannot_be_reckoned(args, content, message, tmp_path, capsys):
    path = tmp_path / "rows.json"
    path.write_text(content)
    assert scaling_cost.main([str(path), *args]) == 2
    assert message in capsys.readouterr().err
