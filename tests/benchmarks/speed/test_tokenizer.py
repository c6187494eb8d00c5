import contextlib
import gc
import io
import json
import pickle

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from benchmarks.speed import harness, tokenizer
from stofm_pyg.data.tokens.cell_tokens import CellTokens


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Runs what belongs into a subprocess here, as imports take longer than all the rest, and leaves
    out what has tests of its own."""

    def run_here(script, argv, timeout):
        assert script == tokenizer.__file__
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert tokenizer.main(argv) == 0
        return json.loads(out.getvalue().splitlines()[-1])

    for module in (harness, tokenizer):
        monkeypatch.setattr(module, "run_in_child", run_here)
    monkeypatch.setattr(harness, "limit_memory", lambda limit: None)
    monkeypatch.setattr(harness, "plot_rows", lambda rows, path, title: path.touch())
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.fixture
def files(tmp_path):
    """A slice, and a vocabulary in the form of Geneformer."""
    genes = [f"ENSG{i:011d}" for i in range(20)]
    rng = np.random.default_rng(0)
    adata = AnnData(sparse.csr_matrix(rng.poisson(0.5, size=(90, 20)).astype(np.float32)))
    adata.var_names = genes
    adata.write_h5ad(tmp_path / "slice.h5ad")
    tables = {
        "token_dictionary": {"<pad>": 0, "<mask>": 1} | {gene: 2 + i for i, gene in enumerate(genes)},
        "gene_median_dictionary": {gene: 0.5 + i % 4 for i, gene in enumerate(genes)},
        "gene_name_id_dict": {f"SYM{i}": gene for i, gene in enumerate(genes)},
    }
    (tmp_path / "vocab").mkdir()
    for name, table in tables.items():
        (tmp_path / "vocab" / f"{name}.pkl").write_bytes(pickle.dumps(table))
    return ["--data", str(tmp_path / "slice.h5ad"), "--vocab", str(tmp_path / "vocab")]


def main(*args):
    return tokenizer.main([str(arg) for arg in args])


def test_loop_and_ours(files, tmp_path, capsys):
    path = tmp_path / "rows.json"
    assert main(*files, "--json", path, "--repeats", 2) == 0
    rows = json.loads(path.read_text())
    assert [(row["case"], row["side"], row["cells"]) for row in rows] == [
        ("tokenize", "loop", 90), ("tokenize", "stofm_pyg", 90)
    ]  # fmt: skip
    for row in rows:
        assert row["median_s"] > 0 and row["peak_mib"] >= 0 and row["repeats"] == 2
        assert row["genes"] == 20 and row["map_s"] > 0
    assert rows[1]["compared_with"] == "loop" and rows[1]["tokens"] > 90
    assert rows[1]["differing"] > 0  # Medians are alike, so there are equal values.
    assert "time vs loop" in capsys.readouterr().out


def test_sizes(files, tmp_path):
    path = tmp_path / "rows.json"
    assert main(*files, "--cells", 30, 60, "--json", path, "--repeats", 1, "--max-length", 5) == 0
    rows = json.loads(path.read_text())
    assert [row["cells"] for row in rows] == [30, 30, 60, 60]
    assert {row["max_length"] for row in rows} == {5}


def test_synthetic_counts(tmp_path, capsys):
    path = tmp_path / "rows.json"
    assert main("--synthetic", 200, 12, "--detected", 4, "--json", path) == 0
    (row,) = json.loads(path.read_text())
    assert (row["case"], row["side"], row["cells"], row["genes"]) == ("synthetic", "stofm_pyg", 200, 12)
    assert row["counts"] == row["tokens"] - 200 and 600 < row["counts"] < 1000
    assert row["median_s"] > 0 and row["process_mib"] > row["peak_mib"] >= 0
    assert "The whole process" in capsys.readouterr().out


def test_both(files, tmp_path):
    path = tmp_path / "rows.json"
    assert main(*files, "--repeats", 1, "--synthetic", 50, 6, "--json", path) == 0
    assert [row["case"] for row in json.loads(path.read_text())] == ["tokenize", "tokenize", "synthetic"]


OURS = CellTokens(torch.tensor([9, 4, 3, 5, 9, 3]), torch.tensor([0, 4, 6]))
VALUES = np.array([np.inf, 7.0, 2.0, 2.0, np.inf, 1.0], dtype=np.float32)


def test_what_may_differ():
    assert tokenizer.compare_tokens(OURS, VALUES, [[9, 4, 3, 5], [9, 3]]) == 0
    assert tokenizer.compare_tokens(OURS, VALUES, [[9, 4, 5, 3], [9, 3]]) == 2


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        ([[9, 4, 3], [9, 3, 5]], "cells of different lengths"),
        ([[9, 4, 3, 6], [9, 3]], "different genes in a cell"),
        ([[9, 3, 4, 5], [9, 3]], "differ in cell 0: token 3 of value 2.0 where ours has 4 of value 7.0"),
    ],
)
def test_what_may_not_differ(loop, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.compare_tokens(OURS, VALUES, loop)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Nothing to tokenise: pass --data FILE.h5ad --vocab DIR or --synthetic"),
        (["--data", "slice.h5ad"], "--data needs --vocab DIR"),
        (["--max-length", 0], "--max-length must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_explained(args, message, capsys):
    assert main(*args) == 2
    assert message in capsys.readouterr().err


def test_more_cells_than_there_are(files, capsys):
    assert main(*files, "--cells", 91, "--child", "tokenize", "loop", 91) == 2
    assert "--cells 91" in capsys.readouterr().err
