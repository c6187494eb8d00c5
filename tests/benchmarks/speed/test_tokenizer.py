import json

import numpy as np
import pytest
import torch

from benchmarks.speed.tokenizer import TokenizerBenchmark, compare_tokens
from stofm_pyg.data import CellTokens

OURS = CellTokens(torch.tensor([9, 4, 3, 5, 9, 3]), torch.tensor([0, 4, 6]))
VALUES = np.array([np.inf, 7.0, 2.0, 2.0, np.inf, 1.0], dtype=np.float32)


def test_loop_and_ours(here, slice_and_vocab, tmp_path, capsys):
    path = tmp_path / "rows.json"
    args = [*slice_and_vocab, "--cells", "30", "80", "--json", str(path), "--max-length", "5"]
    assert TokenizerBenchmark.main(args) == 0
    rows = json.loads(path.read_text())
    assert [(r["cells"], r["side"]) for r in rows] == [
        (cells, side) for cells in (30, 80) for side in ("loop", "stofm_pyg")
    ]
    assert all(row["median_s"] > 0 and row["process_mib"] > row["peak_mib"] for row in rows)
    # Medians are alike, so there are equal values.
    assert 0 < rows[3]["differing"] < rows[3]["tokens"] and rows[3]["tokens"] > 80
    assert "loop / this: seconds" in capsys.readouterr().out


def test_generated_counts(here, tmp_path):
    path = tmp_path / "rows.json"
    assert TokenizerBenchmark.main(["--synthetic", "200", "12", "--json", str(path)]) == 0
    (row,) = json.loads(path.read_text())
    assert (row["side"], row["cells"], row["repeats"]) == ("stofm_pyg", 200, 5)
    assert row["median_s"] > 0 and row["process_mib"] > 100


def test_what_may_differ():
    assert compare_tokens(OURS, VALUES, [[9, 4, 3, 5], [9, 3]]) == 0
    assert compare_tokens(OURS, VALUES, [[9, 4, 5, 3], [9, 3]]) == 2
    for loop in ([[9, 4, 3], [9, 3, 5]], [[9, 4, 3, 6], [9, 3]]):
        with pytest.raises(ValueError, match="find other genes in cell 0"):
            compare_tokens(OURS, VALUES, loop)
    with pytest.raises(ValueError, match="'loop' and 'stofm_pyg' rank others in cell 0"):
        compare_tokens(OURS, VALUES, [[9, 3, 4, 5], [9, 3]])


@pytest.mark.parametrize(
    ("args", "message"), [([], "Nothing to tokenise: pass --data"), (["--cells", "81"], "--cells 81")]
)
def test_wrong_options_are_explained(args, message, slice_and_vocab, capsys):
    assert TokenizerBenchmark.main([*slice_and_vocab, *args] if args else args) == 2
    assert message in capsys.readouterr().err
