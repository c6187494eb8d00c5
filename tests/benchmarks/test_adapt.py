import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from benchmarks.adapt import main
from stofm_pyg.train import Checkpoints


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """A file of 90 cells of three types, which have genes of their own, in three slices."""
    rng = np.random.default_rng(0)
    kind = np.arange(90) % 3
    rate = np.where(np.arange(30) // 10 == kind[:, None], 3.0, 0.2)
    adata = anndata.AnnData(sparse.csr_matrix(rng.poisson(rate).astype("float32")))
    adata.var_names = [f"GENE{i}" for i in range(30)]
    adata.obs["cell_type"] = pd.Categorical([f"type {k}" for k in kind])
    adata.obs["slice"] = pd.Categorical([f"slice {i // 30}" for i in range(90)])
    path = tmp_path_factory.mktemp("slices") / "a.h5ad"
    adata.write_h5ad(path)
    return str(path)


def bench(slices, *more):
    sizes = ["--preset", "tiny", "--steps", "60", "--max-tokens", "500", "--lr", "5e-3", "--runs", "1"]
    return main(["--data", slices, "--vocab", "slices", *sizes, *more])


def test_rows(slices, tmp_path, capsys):
    out = tmp_path / "out.json"
    work = ["--work", str(tmp_path / "work")]
    assert bench(slices, "--annotate", slices, "--json", str(out), *work) == 0
    result = json.loads(out.read_text())
    [row] = result["runs"]
    accuracies = [row[f"{name}_accuracy"] for name in ("frequent", "bag", "adapted")]
    assert all(0 <= value <= 1 for value in accuracies)
    assert row["adapted_type_macro_f1"] > 0.8
    assert result["summary"]["bag_accuracy"] == {"mean": row["bag_accuracy"], "std": 0.0}
    assert "adapted_type_macro_f1" in capsys.readouterr().out

    # What is done is not done again.
    kept = Checkpoints(tmp_path / "work" / "seed-0").paths()
    before = [path.stat().st_mtime_ns for path in kept]
    assert bench(slices, "--annotate", slices, "--json", str(out), *work) == 0
    again = json.loads(out.read_text())["runs"][0]
    assert {**again, "seconds": 0} == {**row, "seconds": 0}
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert bench(slices, "--temperature", "0.1", *work) == 2
    assert "is of other settings" in capsys.readouterr().err


def test_without_labels(slices, tmp_path):
    out = tmp_path / "out.json"
    assert bench(slices, "--json", str(out)) == 0
    assert not any("type" in key for key in json.loads(out.read_text())["summary"])


def test_bad_input(slices, capsys):
    assert bench(slices, "--runs", "0") == 2
    assert "--runs must be at least 1" in capsys.readouterr().err
    assert bench(slices, "--annotate", slices, "--label", "domain") == 2
    assert "domain" in capsys.readouterr().err
