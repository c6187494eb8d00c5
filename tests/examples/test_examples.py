import re
import runpy
import sys
from importlib.util import find_spec

import anndata
import pytest
import torch_geometric.typing

from stofm_pyg.datasets import generate_tissue
from tests.examples.examples_case import EXAMPLES, TINY, run_example


def test_gae(capsys):
    result = run_example("gae", "--epochs", "20", "--channels", "8")
    assert 0.8 < result["auc"] <= 1.0  # Random embeddings are at 0.5.
    assert 0.15 < result["f1"] <= 1.0 and 0.15 < result["f1_pca"] <= 1.0
    out = capsys.readouterr().out
    assert f"{result['auc']:.3f}" in out and f"{result['f1']:.3f}" in out


def test_graphsage(capsys):
    few = run_example("graphsage", "--epochs", "0")
    result = run_example("graphsage", "--epochs", "15")
    assert result["f1"] > few["f1"] + 0.1
    assert "a slice that was not trained on" in capsys.readouterr().out


def test_graphsage_says_what_is_missing(capsys):
    if torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE:
        assert run_example("graphsage", "--epochs", "15", "--batches", "neighbors")["f1"] > 0.2
        assert "needs pyg-lib" not in capsys.readouterr().out
        return
    parts = run_example("graphsage", "--epochs", "2")
    assert run_example("graphsage", "--epochs", "2", "--batches", "neighbors") == parts
    assert "NeighborLoader needs pyg-lib or torch-sparse" in capsys.readouterr().out


def test_stagate(capsys):
    result = run_example("stagate", "--epochs", "40", "--hidden", "32", "--channels", "8")
    assert 0 < result["error"] < 0.97
    assert 0.15 < result["f1"] <= 1.0
    assert f"{result['error']:.1%} of that before training" in capsys.readouterr().out


def test_novae(capsys):
    result = run_example("novae", "--epochs", "3", "--hidden", "16", "--prototypes", "8")
    assert 2 <= result["used"] <= 8  # Balanced assignments: it does not collapse to one.
    assert 0 < result["nmi"] <= 1.0 and 0.15 < result["f1"] <= 1.0
    assert f"{result['used']} prototypes" in capsys.readouterr().out


def test_explain():
    result = run_example("explain", "--epochs", "3", "--region", "60", "--steps", "15")
    # What the features that matter leave is what was asked for: they carry the prediction.
    assert result["without_rest"] > result["without_most"]
    assert 0.2 < result["reach"] < 1.2


def test_pyg_tools(capsys):
    if find_spec("torch._inductor") is None:
        pytest.skip("needs torch.compile")
    result = run_example("pyg_tools", "--workers", "1", "--backend", "eager")
    assert result["difference"] < 1e-5
    assert result["parameters"] > 10_000 and 300 <= result["cells"] <= 450
    out = capsys.readouterr().out
    assert "from 1 workers" in out
    expected = "SliceEncoderBlock" if find_spec("tabulate") else "pip install tabulate"
    assert expected in out


def test_ligand_receptor(capsys):
    result = run_example("ligand_receptor", "--epochs", "3")
    assert result["pairs"] == 10
    # The scores are used: their weights, which start from zero, have moved.
    assert len(result["weight"]) == 4 and all(0 < abs(weight) < 1 for weight in result["weight"])
    assert 0.05 < result["without"] <= 1.0 and 0.05 < result["with"] <= 1.0
    assert "10 pairs" in capsys.readouterr().out


def test_scanpy_squidpy(tmp_path):
    pytest.importorskip("squidpy", reason="needs scanpy and squidpy: pip install scanpy squidpy")
    pytest.importorskip("scanpy", reason="needs scanpy and squidpy: pip install scanpy squidpy")
    path = tmp_path / "out.h5ad"
    result = run_example("scanpy_squidpy", "--out", str(path))
    assert result["clusters"] > 1
    assert result["zscore"] > 2 and 0.2 < result["within"] <= 1.0
    assert 0 < result["moran"] <= 1.0
    adata = anndata.read_h5ad(path)
    assert result["gene"] in adata.var_names and "X_mean" in adata.obsm
    assert adata.uns["spatial_neighbors"]["connectivities_key"] in adata.obsp


def test_scanpy_squidpy_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scanpy", None)
    with pytest.raises(ImportError, match="pip install scanpy squidpy"):
        run_example("scanpy_squidpy")


def test_a_file_as_its_users_run_it(tmp_path, monkeypatch, capsys):
    path = tmp_path / "one.h5ad"
    generate_tissue(1, 150, num_genes=40, num_unobserved=0, seed=1).write_h5ad(path)
    script = str(EXAMPLES / "gae.py")
    monkeypatch.setattr(sys, "argv", [script, "--data", str(path), "--epochs", "3"])
    monkeypatch.syspath_prepend(str(EXAMPLES))  # As Python does for a script.
    monkeypatch.delitem(sys.modules, "common", raising=False)
    runpy.run_path(script, run_name="__main__")
    out = capsys.readouterr().out
    assert re.search(r"ROC-AUC of the edges left out: [01]\.\d{3}", out)
    assert re.search(r"macro-F1 of 'domain': [01]\.\d{3} \(its input: [01]\.\d{3}\)", out)


def test_all_examples_are_tested():
    text = (EXAMPLES.parent / "tests" / "examples" / "test_examples.py").read_text(encoding="utf-8")
    others = {"common", "my_conv"}  # my_conv has a test of its own.
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in others or f'run_example("{path.stem}"' in text, path.name
    assert TINY
