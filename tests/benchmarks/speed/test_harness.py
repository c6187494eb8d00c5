import argparse
import json

import pytest

from benchmarks.speed import harness
from benchmarks.speed.harness import add_options, exit_status, run_script


@pytest.fixture
def children(monkeypatch):
    """Answers instead of subprocesses: a list of (case, side, cells) asked, and a dict of answers."""
    asked, answers = [], {}

    def answer(script, argv, timeout):
        case, side, cells = argv[argv.index("--child") + 1 :]
        assert script == "script.py" and timeout > 60
        asked.append((case, side, int(cells)))
        measured = {"peak_mib": 5.0, "seconds": 0.1, "memory": "rss"}
        return answers.get((side, int(cells)), measured).copy()

    monkeypatch.setattr(harness, "run_in_child", answer)
    return asked, answers


def measure(*argv, sides=("a", "b"), **kwargs):
    parser = argparse.ArgumentParser()
    add_options(parser, [10, 20])
    argv = [*map(str, argv), "--device", "cpu", "--repeats", "2"]
    built = []

    def build(case, side, cells):
        built.append((case, side, cells))
        return lambda: None

    rows = run_script("script.py", argv, parser.parse_args(argv), build, ["forward"], sides, **kwargs)
    return rows, built


def test_all_sides_and_sizes_are_measured(children, tmp_path, capsys):
    path = tmp_path / "rows.json"
    rows, built = measure("--json", path, baselines=["a"], extras={"batch": 4})
    expected = [("forward", side, cells) for cells in (10, 20) for side in "ab"]
    assert children[0] == built == expected
    assert [(row["case"], row["side"], row["cells"]) for row in rows] == expected
    assert all(row["peak_mib"] == 5.0 and row["memory"] == "rss" for row in rows)
    assert all(row["median_s"] >= 0 and row["repeats"] == 2 and row["batch"] == 4 for row in rows)
    assert json.loads(path.read_text()) == rows
    assert path.with_suffix(".png").exists()
    out = capsys.readouterr().out
    assert rows[0]["machine"] in out
    assert "| time vs a | memory vs a |" in out


def test_what_does_not_fit_is_not_timed_and_not_tried_again(children):
    asked, answers = children
    answers["b", 10] = {"note": "out of memory"}
    rows, built = measure()
    assert ("forward", "b", 20) not in asked
    assert {side for _, side, _ in built} == {"a"}
    assert rows[1]["note"] == "out of memory"
    assert rows[3]["note"] == "skipped: out of memory at 10 cells"
    assert rows[1]["median_s"] is rows[1]["peak_mib"] is rows[3]["median_s"] is None
    assert "note" not in rows[0] and "note" not in rows[2]


@pytest.mark.parametrize(
    ("growth", "cells", "skipped"), [(2.0, 20, True), (1.0, 20, False), (2.0, 50, False)]
)
def test_a_size_that_would_take_too_long_is_left_out(children, growth, cells, skipped):
    children[1]["b", 10] = {"peak_mib": 1.0, "seconds": 0.3}
    rows, _ = measure("--seconds", 1, "--cells", 10, cells, growth=growth)
    note = "skipped: about 1 s expected, over --seconds 1"
    assert rows[3].get("note") == (note if skipped else None)


def test_the_limit_of_a_side(children):
    rows, _ = measure(limits={"a": 15})
    assert [row.get("note") for row in rows] == [None, None, "skipped: over the limit of 15 cells", None]
    assert ("forward", "a", 20) not in children[0]


def test_a_check_sees_what_is_timed_and_adds_to_the_rows(children):
    seen = []

    def check(case, cells, calls):
        seen.append((case, cells, sorted(calls)))
        return {"b": {"max_relative_error": 1e-6}}

    children[1]["a", 20] = {"note": "out of memory"}
    rows, _ = measure(check=check)
    assert seen == [("forward", 10, ["a", "b"]), ("forward", 20, ["b"])]
    assert [row.get("max_relative_error") for row in rows] == [None, 1e-6, None, 1e-6]


def test_a_child_measures_one_side_under_a_limit(monkeypatch, capsys):
    limits = []
    monkeypatch.setattr(harness, "limit_memory", limits.append)
    rows, built = measure("--memory", 0.5, "--child", "forward", "b", "500")
    assert rows == []
    # A small warm-up comes first.
    assert built == [("forward", "b", 64), ("forward", "b", 500)]
    assert limits == [2**29]
    out = json.loads(capsys.readouterr().out)
    assert out["peak_mib"] >= 0 and out["seconds"] >= 0

    monkeypatch.setattr(harness, "available_memory", lambda: 1000)
    measure("--child", "forward", "b", "500")
    assert limits == [2**29, 800]


@pytest.mark.parametrize(
    ("error", "known"), [(MemoryError(), True), (RuntimeError("can't allocate memory"), True),
                         (RuntimeError("shapes"), False)]
)  # fmt: skip
def test_a_child_out_of_memory_says_so(monkeypatch, capsys, error, known):
    def fail(call, device):
        raise error

    monkeypatch.setattr(harness, "limit_memory", lambda limit: None)
    monkeypatch.setattr(harness, "measure_peak", fail)
    if known:
        measure("--child", "forward", "a", "10")
        assert json.loads(capsys.readouterr().out) == {"note": "out of memory"}
    else:
        with pytest.raises(RuntimeError, match="shapes"):
            measure("--child", "forward", "a", "10")


@pytest.mark.parametrize("option", ["--cells", "--repeats", "--seconds"])
def test_options_must_be_positive(children, option, capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, [10])
    args = parser.parse_args([option, "0"])
    assert exit_status(lambda: run_script("script.py", [], args, None, ["forward"], ["a"])) == 2
    assert "must be positive" in capsys.readouterr().err
