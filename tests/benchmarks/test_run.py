import errno
import json
import re

import anndata
import numpy as np
import pytest

from benchmarks import run
from benchmarks.methods.pca import PCA
from benchmarks.methods.stofm import SToFMPretrained
from benchmarks.token_features import TokenFeatures
from stofm_pyg.cli import main as cli
from stofm_pyg.data import GeneVocab
from stofm_pyg.datasets.generate_tissue import generate_tissue


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """An h5ad file of two small generated slices."""
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    generate_tissue(num_slices=2, cells_per_slice=250, num_genes=60, seed=3).write_h5ad(path)
    return path


def main(*args):
    return run.main(["--task", "segmentation", "--preset", "tiny", *map(str, args)])


def error_of(capsys, *args):
    assert main(*args) == 2
    return capsys.readouterr().err


def test_all_methods_on_generated_tissue(tmp_path, capsys):
    assert main("--out", tmp_path, "--runs", 2, "--seed", 5) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["finished"] is True
    assert results["split"] == "cross"
    assert results["seed"] == 5
    assert results["versions"]["torch"]
    assert results["features"] == "tokens"
    rows = ["stofm", "stofm (pca)", "pca", "neighbour-pca", "coordinates"]
    assert list(results["summary"]) == rows
    for name, row in results["summary"].items():
        runs = [r for r in results["results"] if r["method"] == name]
        assert [r["seed"] for r in runs] == [5, 6]
        assert row["macro_f1"]["mean"] == pytest.approx(np.mean([r["macro_f1"] for r in runs]))
        assert row["macro_f1"]["std"] == pytest.approx(np.std([r["macro_f1"] for r in runs]))
        for r in runs:
            per_slice = [scores["macro_f1"] for scores in r["slices"].values()]
            assert r["macro_f1"] == pytest.approx(np.mean(per_slice))
            assert 0 < r["accuracy"] <= 1
            assert np.sum(r["confusion"]) == sum(s["cells"] for s in results["slices"])
    # The baselines see no seed; only pre-training does.
    assert results["summary"]["pca"]["macro_f1"]["std"] == 0
    assert results["summary"]["coordinates"]["macro_f1"]["mean"] < 0.5

    table = (tmp_path / "results.md").read_text()
    assert "| neighbour-pca |" in table
    assert "| neighbour-pca |" in capsys.readouterr().out
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert len(pictures) == 15
    assert "stofm-truth-and-prediction.png" in pictures
    for path in (tmp_path / "pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").rglob("events.out.*"))


def test_another_conv_has_a_row_beside_the_se2_layer(tissue, tmp_path):
    args = ("--data", tissue, "--method", "stofm", "--conv", "GCNConv", "--runs", 1)
    assert main(*args, "--out", tmp_path) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["summary"]) == ["stofm", "stofm (GCNConv)", "stofm (pca)"]
    assert results["data"] == [str(tissue)]
    # The features of a seed are made once, and count for each row that sees them.
    seconds = [run["seconds"] for run in results["results"]]
    assert seconds[0]["features"] == seconds[1]["features"] > 0
    assert "features" not in seconds[2]
    assert results["vocab"] == GeneVocab.from_slices([tissue]).fingerprint


def test_principal_components_alone(tissue, tmp_path, monkeypatch):
    def made(*args):
        raise AssertionError("No tokens were asked for")

    monkeypatch.setattr(TokenFeatures, "__init__", made)
    args = ("--data", tissue, "--method", "stofm,pca", "--features", "pca", "--runs", 1)
    assert main(*args, "--out", tmp_path) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["summary"]) == ["stofm (pca)", "pca"]
    assert results["vocab"] is None


def test_baselines_need_no_tokens(tissue, tmp_path, monkeypatch):
    monkeypatch.delattr(TokenFeatures, "__init__")
    assert main("--data", tissue, "--method", "pca", "--runs", 1, "--out", tmp_path) == 0


def test_an_encoder_that_adapt_wrote(tissue, tmp_path):
    encoder = tmp_path / "encoder"
    sizes = ["--preset", "tiny", "--steps", "2", "--max-tokens", "500"]
    assert cli(["adapt", str(tissue), "--vocab", "slices", "--out", str(encoder), *sizes]) == 0
    args = ("--data", tissue, "--method", "stofm", "--cell-encoder", encoder, "--runs", 1)
    assert main(*args, "--out", tmp_path / "out") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["cell_encoder"] == str(encoder)
    assert results["vocab"] == GeneVocab.load(encoder / "vocab.json").fingerprint


def test_what_tokens_cannot_be_made_of_is_an_error_before_any_work(
    tissue, tmp_path, capsys, monkeypatch
):
    args = ("--data", tissue, "--out", tmp_path / "out")
    assert "for tokens" in error_of(capsys, *args, "--features", "pca", "--vocab", "v.json")
    assert "for tokens" in error_of(capsys, *args, "--features", "pca", "--cell-encoder", tmp_path)
    monkeypatch.setattr(PCA, "embed", lambda *args: pytest.fail("There is an error to be told first"))
    args = (*args, "--method", "pca,stofm")
    assert "'cell_bert'" in error_of(capsys, *args, "--cell-encoder", tmp_path)
    (tmp_path / "v.json").write_text("{")
    assert "v.json" in error_of(capsys, *args, "--vocab", tmp_path / "v.json")
    adata = anndata.read_h5ad(tissue)
    adata.X.data = np.log1p(adata.X.data)
    adata.write_h5ad(tmp_path / "log.h5ad")
    message = error_of(capsys, "--data", tmp_path / "log.h5ad", *args[2:])
    assert re.search(r"In '.*log\.h5ad': Expected counts", message)


@pytest.mark.parametrize("split", ["within", "blocks"])
def test_splits_within_a_slice(tissue, tmp_path, split):
    args = ("--data", tissue, "--method", "coordinates", "--split", split, "--runs", 1)
    assert main(*args, "--out", tmp_path) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    scored = np.sum(results["results"][0]["confusion"])
    assert scored == {"within": 100, "blocks": 500}[split]


def test_a_single_slice_is_split_into_blocks(tissue, tmp_path):
    adata = anndata.read_h5ad(tissue)
    one = tmp_path / "one.h5ad"
    adata[adata.obs["slice"] == "slice0"].write_h5ad(one)
    assert main("--data", one, "--method", "pca", "--runs", 1, "--out", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "results.json").read_text())["split"] == "blocks"


def test_a_slice_without_labels_does_not_make_it_cross(tissue, tmp_path):
    adata = anndata.read_h5ad(tissue)
    adata.obs["domain"] = adata.obs["domain"].where(adata.obs["slice"] == "slice0")
    adata.write_h5ad(tmp_path / "half.h5ad")
    args = ("--data", tmp_path / "half.h5ad", "--method", "pca", "--runs", 1)
    assert main(*args, "--out", tmp_path / "out") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["split"] == "blocks"
    assert list(results["results"][0]["slices"]) == ["slice0"]


def test_ctrl_c_keeps_what_is_done(tissue, tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(SToFMPretrained, "embed", interrupt)
    args = ("--data", tissue, "--method", "pca,stofm,coordinates", "--runs", 1, "--out", tmp_path)
    assert main(*args) == 130
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["interrupted"] is True
    assert list(results["summary"]) == ["pca"]
    assert "Interrupted" in capsys.readouterr().out


def test_unknown_names_are_errors_that_list_the_known(tissue, tmp_path, capsys):
    args = ("--data", tissue, "--out", tmp_path)
    assert "known: stofm, pca" in error_of(capsys, *args, "--method", "pcaa")
    assert "Did you mean 'GATv2Conv'" in error_of(capsys, *args, "--conv", "GATv3Conv")
    assert re.search("'domian'.*domain", error_of(capsys, *args, "--label", "domian"), re.S)
    assert re.search("'slise'.*slice", error_of(capsys, *args, "--slice-key", "slise"), re.S)
    assert "--device gpu" in error_of(capsys, *args, "--device", "gpu")
    assert "--runs" in error_of(capsys, *args, "--runs", 0)


def test_a_label_with_one_class_is_an_error(tissue, tmp_path, capsys):
    adata = anndata.read_h5ad(tissue)
    adata.obs["domain"] = "everywhere"
    adata.write_h5ad(tmp_path / "one.h5ad")
    message = error_of(capsys, "--data", tmp_path / "one.h5ad", "--out", tmp_path / "out")
    assert "--label domain needs at least two classes (found 'everywhere')" in message


def test_a_truncated_file_is_an_error_that_names_it(tissue, tmp_path, capsys):
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes(tissue.read_bytes()[:5000])
    assert "broken.h5ad" in error_of(capsys, "--data", broken, "--out", tmp_path / "out")
    missing = tmp_path / "missing.h5ad"
    assert "missing.h5ad" in error_of(capsys, "--data", missing, "--out", tmp_path / "out")


def test_an_out_that_cannot_be_written_to_fails_before_any_work(tissue, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    message = error_of(capsys, "--data", tissue, "--out", tmp_path / "file" / "out")
    assert f"--out {tmp_path / 'file' / 'out'} cannot be written to" in message


def test_a_full_disk_is_an_error_and_leaves_the_last_results_whole(
    tissue, tmp_path, capsys, monkeypatch
):
    args = ("--data", tissue, "--method", "pca", "--runs", 1, "--out", tmp_path)
    assert main(*args) == 0
    before = (tmp_path / "results.json").read_text()

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("os.replace", full)
    assert "No space left on device" in error_of(capsys, *args)
    assert (tmp_path / "results.json").read_text() == before
    assert not list(tmp_path.rglob("*.tmp"))
