import contextlib
import gc
import io
import json

import pytest

from benchmarks.speed import harness, se2_transformer
from benchmarks.speed.se2_sides import known_evaluators
from tests.benchmarks.speed.official_checkout import write_checkout

TINY = ["--layers", "2", "--heads", "2", "--channels", "16", "--gaussians", "8"]
TINY += ["--virtual-cells", "4", "--repeats", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Runs what belongs into a subprocess here, as imports take longer than all the rest, and leaves
    out collections of garbage and the picture, which have tests of their own."""

    def run_here(script, argv, timeout):
        assert script == se2_transformer.__file__
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert se2_transformer.main(argv) == 0
        return json.loads(out.getvalue().splitlines()[-1])

    monkeypatch.setattr(harness, "run_in_child", run_here)
    monkeypatch.setattr(harness, "limit_memory", lambda limit: None)
    monkeypatch.setattr(harness, "plot_rows", lambda rows, path, title: path.touch())
    monkeypatch.setattr(gc, "collect", lambda: 0)


def main(*args):
    return se2_transformer.main([*TINY, *map(str, args)])


def test_evaluators_and_plain_attention(tmp_path, capsys):
    path = tmp_path / "rows.json"
    assert main("--cells", 60, "--json", path) == 0
    rows = json.loads(path.read_text())
    ours = [*known_evaluators(se2_transformer.find_device("cpu")), "auto"]
    assert "dense" in ours and "edgewise" not in ours and "fused" not in ours
    expected = [(case, side) for case in se2_transformer.CASES for side in [*ours, "plain-attention"]]
    assert [(row["case"], row["side"]) for row in rows] == expected
    for row in rows:
        assert row["cells"] == 60 and row["virtual_cells"] == 4 and row["batch"] == 1
        assert row["median_s"] > 0 and row["peak_mib"] >= 0
        if row["side"] in ours[1:]:
            assert row["max_relative_error"] < 1e-5 and row["compared_with"] == ours[0]
            assert ("max_relative_gradient_error" in row) == (row["case"] == "forward+backward")
    assert (tmp_path / "rows.png").exists()
    assert "time vs plain-attention" in capsys.readouterr().out


def test_against_an_official_checkout(tmp_path, capsys):
    checkout = write_checkout(tmp_path / "checkout")
    path = tmp_path / "rows.json"
    args = ("--official", checkout, "--official-limit", 30, "--batch", 2, "--sides", "official,dense")
    assert main(*args, "--cells", 30, 40, "--json", path) == 0
    rows = {(row["case"], row["side"], row["cells"]): row for row in json.loads(path.read_text())}
    assert len(rows) == 8
    for case in se2_transformer.CASES:
        assert rows[case, "dense", 30]["max_relative_error"] < 1e-5
        assert rows[case, "dense", 30]["compared_with"] == "official"
        assert rows[case, "official", 30]["median_s"] > 0
        assert rows[case, "official", 40]["note"] == "skipped: over the limit of 30 cells"
        assert rows[case, "dense", 40]["median_s"] > 0
    assert rows["forward+backward", "dense", 30]["max_relative_gradient_error"] < 1e-4
    assert "time vs official" in capsys.readouterr().out


def test_different_outputs_are_an_error(tmp_path, capsys):
    checkout = write_checkout(tmp_path / "checkout", scale=1.01)
    args = ("--official", checkout, "--cells", 30, "--sides", "official,dense")
    assert main(*args, "--cases", "forward") == 2
    assert "The output of 'dense' differs from that of 'official'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sides", "dense,sparse"], "--sides sparse is unknown; known: dense"),
        (["--sides", "official"], "'official' needs --official CHECKOUT"),
        (["--cases", "backward"], "--cases backward is unknown; known: forward, forward+backward"),
        (["--batch", "0"], "--batch must be at least 1"),
        (["--virtual-cells", "-1"], "--virtual-cells at least 0"),
        (["--device", "gpu"], "--device gpu cannot be used here"),
        (["--heads", "3"], "'hidden_channels' must be a multiple of 'heads' (got 16 and 3)"),
    ],
)
def test_wrong_options_are_explained(args, message, capsys):
    args = args if args[0] != "--heads" else [*args, "--child", "forward", "dense", "20"]
    assert main("--cells", 20, *args) == 2
    assert message in capsys.readouterr().err
