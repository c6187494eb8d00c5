import contextlib
import gc
import io
import json
import pickle

import anndata
import numpy as np
import pytest
from scipy import sparse

from benchmarks.speed import cell_encoder, harness

TINY = ["--layers", "2", "--heads", "2", "--channels", "16", "--repeats", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Runs what belongs into a subprocess here, as imports take longer than all the rest, and leaves
    out collections of garbage and the picture, which have tests of their own."""

    def run_here(script, argv, timeout):
        assert script == cell_encoder.__file__
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert cell_encoder.main(argv) == 0
        return json.loads(out.getvalue().splitlines()[-1])

    monkeypatch.setattr(harness, "run_in_child", run_here)
    monkeypatch.setattr(harness, "limit_memory", lambda limit: None)
    monkeypatch.setattr(harness, "plot_rows", lambda rows, path, title: path.touch())
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A slice of 80 cells, and a vocabulary as Geneformer's, of its genes."""
    folder = tmp_path_factory.mktemp("cells")
    generator = np.random.default_rng(0)
    counts = generator.poisson(0.6, (80, 30)).astype(np.float32)
    counts[5] = 0
    ids = [f"ENSG{i:011d}" for i in range(30)]
    adata = anndata.AnnData(sparse.csr_matrix(counts))
    adata.var_names = ids
    adata.write_h5ad(folder / "slice.h5ad")
    tokens = {"<pad>": 0, "<mask>": 1, **{gene: i + 2 for i, gene in enumerate(ids)}}
    tables = {
        "token_dictionary": tokens,
        "gene_median_dictionary": dict.fromkeys(ids, 1.5),
        "gene_name_id_dict": {f"SYMBOL{i}": gene for i, gene in enumerate(ids)},
    }
    for name, table in tables.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(table))
    return ["--data", str(folder / "slice.h5ad"), "--vocab", str(folder)]


def test_both_sides(files, tmp_path, capsys):
    path = tmp_path / "rows.json"
    assert cell_encoder.main([*TINY, *files, "--cells", "40", "80", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())
    assert [(row["case"], row["cells"], row["side"]) for row in rows] == [
        ("encode", cells, side) for cells in (40, 80) for side in ("official", "stofm_pyg")
    ]
    for row in rows:
        assert row["median_s"] > 0 and row["peak_mib"] >= 0 and row["layers"] == 2
        assert row["tokens"] > row["cells"]
        if row["side"] == "official":
            assert 0.1 < row["padding"] < 0.9
        else:
            assert row["padding"] == 0 and row["max_abs_error"] < 1e-5
    assert (tmp_path / "rows.png").exists()
    assert "time vs official" in capsys.readouterr().out


def test_results_that_differ_are_not_timed(files, monkeypatch, capsys):
    original = cell_encoder.CellEncoder.encode
    monkeypatch.setattr(
        cell_encoder.CellEncoder, "encode", lambda *args: original(*args) + 2e-5
    )
    assert cell_encoder.main([*TINY, *files, "--cells", "40"]) == 2
    assert "The embeddings of 'stofm_pyg' differ from those of 'official'" in capsys.readouterr().err


def test_more_cells_than_there_are(files, capsys):
    assert cell_encoder.main([*TINY, *files, "--cells", "81"]) == 2
    assert "has 80 cells, fewer than 81" in capsys.readouterr().err
