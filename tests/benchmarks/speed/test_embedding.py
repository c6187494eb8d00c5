import json

import numpy as np
import pytest

from benchmarks.speed import embedding
from benchmarks.speed.embedding import EmbeddingBenchmark


def test_in_parts_and_in_one_piece(here, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "FITTED_CELLS", 300)
    monkeypatch.setattr(embedding, "STEPS", 1)
    args = ["--cells", "400", "200", "--genes", "70", "--detected", "20", "--one-piece", "300"]
    args += ["--folder", str(tmp_path), "--json", str(tmp_path / "rows.json"), "--device", "cpu"]
    assert EmbeddingBenchmark.main(args) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["side"] for row in rows] == 2 * ["cut", "embedded", "one piece"]
    for row in rows[:5]:
        assert row["peak_mib"] > 50 and row["cells_per_second"] == row["cells"] / row["median_s"]
    assert rows[2]["difference"] <= 1e-5 and rows[5]["note"] == "not run: --one-piece 300"
    # What was made by a process before is not made again, and what differs is told.
    path = tmp_path / "200-parts" / "embedding.npy"
    np.save(path, np.load(path) + 1)
    with pytest.raises(ValueError, match="two embeddings of 200 cells differ by"):
        EmbeddingBenchmark(EmbeddingBenchmark.parse(args)).measure("embed", "one piece", 200)
