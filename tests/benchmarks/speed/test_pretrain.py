import json

import pytest

from benchmarks.speed.pretrain import PretrainBenchmark
from tests.train.pretrain_case import CONFIG, make_corpus


@pytest.fixture
def options(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return ["--config", str(tmp_path / "config.json"), "--json", str(tmp_path / "rows.json"), "--steps",
            "2", "--steps-2", "1", "--warm-up", "1", "--num-workers", "0", "--device=cpu"]  # fmt: skip


def test_a_corpus(here, options, tmp_path, capsys):
    corpus = make_corpus(tmp_path)
    assert PretrainBenchmark.main(["--corpus", str(tmp_path / "corpus"), *options]) == 0
    build, encode, *stages = json.loads((tmp_path / "rows.json").read_text())
    assert build["note"] == "built before" and build["median_s"] is None and build["cells"] == 270
    assert build["bytes_per_cell"] == sum(shard.path.stat().st_size for shard in corpus.shards) / 270
    assert encode["cells_per_second"] == pytest.approx(270 / encode["median_s"])
    assert encode["bytes_per_cell"] == 4 * CONFIG["cell_encoder"]["out_channels"]
    for row in stages:
        assert row["train_cells"] == 180 and 0 < row["loading_share"] < 1 and row["peak_mib"] > 100
        assert row["median_s"] == pytest.approx(180 / row["cells_per_second"])
    assert "| stage_2 | 270 |" in capsys.readouterr().out


def test_generated_cells(here, options, tmp_path, capsys):
    sizes = ["--synthetic", "160", "80", "--cases", "build"]
    kind = ["--slice-cells", "50", "--cells-per-part", "20", "--genes", "20", "--detected", "6"]
    assert PretrainBenchmark.main([*sizes, *kind, *options]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["cells"] for row in rows] == [80, 160] and rows[0]["bytes_per_cell"] > 50
    assert rows[1]["cells_per_second"] == pytest.approx(160 / rows[1]["median_s"])
    assert "time of build grows as cells to the power of" in capsys.readouterr().out


@pytest.mark.parametrize("args", [["--synthetic", "80", "--cases", "build,stage_3"], []])
def test_wrong_options(args, capsys):
    assert PretrainBenchmark.main(args) == 2
    error = capsys.readouterr().err
    assert "Pass --corpus DIR or --synthetic CELLS, and --cases of build, encode" in error
