import contextlib
import gc
import io
import json

import pytest

from benchmarks.speed import pretrain
from tests.train.pretrain_case import CONFIG, make_corpus


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Runs what belongs into a subprocess here, as imports take longer than all the rest."""

    def run_here(script, argv, timeout):
        assert script == pretrain.__file__ and timeout == 3600
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert pretrain.main(argv) == 0
        return json.loads(out.getvalue().splitlines()[-1])

    monkeypatch.setattr(pretrain, "run_in_child", run_here)
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.fixture
def options(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return ["--config", str(tmp_path / "config.json"), "--steps", "2", "--steps-2", "1",
            "--warm-up", "1", "--num-workers", "0", "--device", "cpu",
            "--json", str(tmp_path / "rows.json")]  # fmt: skip


def read(tmp_path):
    return json.loads((tmp_path / "rows.json").read_text())


def test_a_corpus(options, tmp_path, capsys):
    corpus = make_corpus(tmp_path)
    assert pretrain.main(["--corpus", str(tmp_path / "corpus"), *options]) == 0
    rows = read(tmp_path)
    assert [row["case"] for row in rows] == ["build", "encode", "stage_1", "stage_2"]
    assert all(row["cells"] == 270 and row["side"] == "given" for row in rows)
    size = sum(shard.path.stat().st_size for shard in corpus.shards)
    assert rows[0]["note"] == "not measured: built before" and rows[0]["median_s"] is None
    assert rows[0]["bytes_per_cell"] == size / 270
    assert [row.get("steps_timed") for row in rows] == [None, None, 2, 1]
    assert all(row["peak_mib"] > 0 and row["machine"] for row in rows[1:])
    out = capsys.readouterr().out
    assert "| stage 2, a pass | given | 270 |" in out and "| waiting for data |" in out
    assert "of the time is waiting for data" in out and "| SpatialRadiusGraph |" in out
    assert "to the power" not in out  # Of one size.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json", "corpus", "rows.json", "tissue.h5ad"
    ]  # fmt: skip


def test_generated_cells(options, tmp_path, capsys):
    kind = ["--slice-cells", "50", "--cells-per-part", "20", "--genes", "20", "--detected", "6",
            "--work", str(tmp_path / "work")]  # fmt: skip
    sizes = ["--synthetic", "160", "80", "--cases", "build,stage_1"]
    assert pretrain.main([*sizes, *kind, *options]) == 0
    rows = read(tmp_path)
    assert [(row["case"], row["cells"], row["slices"]) for row in rows] == [
        ("build", 80, 2), ("stage_1", 80, 2), ("build", 160, 3), ("stage_1", 160, 3)
    ]  # fmt: skip
    assert all(row["side"] == "slices of up to 50" and row["median_s"] > 0 for row in rows)
    assert rows[2]["cells_per_second"] == pytest.approx(160 / rows[2]["median_s"])
    assert [row["train_cells"] for row in rows if row["case"] == "stage_1"] == [40, 80]
    assert 5 < rows[0]["tokens_per_cell"] < 9
    out = capsys.readouterr().out
    assert "time of corpus build grows as cells to the power of" in out

    # A second time the corpora are there, and building is not timed.
    assert pretrain.main(["--synthetic", "80", "--cases", "build", *kind, *options]) == 0
    (row,) = read(tmp_path)
    assert row["note"] == "not measured: built before" and row["bytes_per_cell"] > 100


def test_one_slice(options, tmp_path):
    argv = ["--synthetic", "120", "--one-slice", "--cells-per-part", "20", "--cases", "build"]
    assert pretrain.main([*argv, *options]) == 0
    (row,) = read(tmp_path)
    assert row["slices"] == 2 and row["side"] == "one slice"


def test_a_child_that_fails(options, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrain, "run_in_child", lambda *args: {"note": "out of memory (killed)"})
    assert pretrain.main(["--synthetic", "80", *options]) == 0
    (row,) = read(tmp_path)
    assert row["note"] == "out of memory (killed)" and row["cells"] == 80
    assert "out of memory (killed)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--cases", "build,stage_3"], "Unknown --cases stage_3; known: build, encode, stage_1"),
        (["--steps", "0"], "--steps and --steps-2 must be at least 1"),
    ],
)
def test_wrong_options(args, message, capsys):
    assert pretrain.main(["--synthetic", "80", *args]) == 2
    assert message in capsys.readouterr().err
