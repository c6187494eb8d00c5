import errno
import json
import re

import anndata
import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmarks import run
from benchmarks.ablations import ABLATIONS
from benchmarks.data import TISSUE
from benchmarks.head import predict_folds
from benchmarks.methods import DEFAULT
from benchmarks.methods.stofm import SToFMFitted
from benchmarks.splits import make_folds
from stofm_pyg.cli import main as cli
from stofm_pyg.data import SliceSettings
from stofm_pyg.datasets import H5adSlices, generate_tissue
from stofm_pyg.models import SToFM
from stofm_pyg.train import PRESETS, PretrainConfig
from tests.models.fit_case import CONFIG

TINY = PretrainConfig.from_dict(CONFIG)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A preset of a few steps on a little tissue, whatever the real one is."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setitem(TISSUE, "tiny", (2, 150))


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """An h5ad file of two small generated slices."""
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    generate_tissue(num_slices=2, cells_per_slice=250, num_genes=60, seed=3).write_h5ad(path)
    return path


def main(*args):
    return run.main(["--task", "segmentation", "--preset", "tiny", *map(str, args)])


def results_of(out):
    return json.loads((out / "results.json").read_text())


def error_of(capsys, *args):
    assert main(*args) == 2
    return capsys.readouterr().err


def test_all_methods_on_generated_tissue(tmp_path, capsys):
    assert main("--out", tmp_path, "--runs", 2, "--seed", 5) == 0
    results = results_of(tmp_path)
    assert results["finished"] is True
    assert results["split"] == "cross"
    assert results["seed"] == 5
    assert results["versions"]["torch"]
    assert results["features"] == "auto"
    assert SliceSettings.from_dict(results["settings"]) == SliceSettings(seed=5)
    assert list(results["summary"]) == DEFAULT and "stofm-pretrained" not in DEFAULT
    for name, row in results["summary"].items():
        runs = [r for r in results["results"] if r["method"] == name]
        # Each run has a tissue of its own.
        assert [r["seed"] for r in runs] == [5, 6] and runs[0]["macro_f1"] != runs[1]["macro_f1"]
        assert row["macro_f1"]["mean"] == pytest.approx(np.mean([r["macro_f1"] for r in runs]))
        assert row["macro_f1"]["std"] == pytest.approx(np.std([r["macro_f1"] for r in runs]))
        for r in runs:
            per_slice = [scores["macro_f1"] for scores in r["slices"].values()]
            assert r["macro_f1"] == pytest.approx(np.mean(per_slice))
            assert 0 < r["accuracy"] <= 1
            assert np.sum(r["confusion"]) == sum(s["cells"] for s in results["slices"])
    assert results["summary"]["coordinates"]["macro_f1"]["mean"] < 0.5

    table = (tmp_path / "results.md").read_text()
    assert "| ring-pca |" in table
    assert "| ring-pca |" in capsys.readouterr().out
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert len(pictures) == 3 * len(DEFAULT)
    assert "stofm-truth-and-prediction.png" in pictures
    for path in (tmp_path / "pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_tissue_of_a_run_is_that_of_its_seed(tmp_path):
    both, last = tmp_path / "both", tmp_path / "last"
    assert main("--out", both, "--runs", 2, "--seed", 5, "--method", "pca,coordinates") == 0
    assert main("--out", last, "--runs", 1, "--seed", 6, "--method", "pca,coordinates") == 0
    runs = [[r for r in results_of(out)["results"] if r["seed"] == 6] for out in (both, last)]
    assert [r["slices"] for r in runs[0]] == [r["slices"] for r in runs[1]]
    assert "Each run has a tissue of its own" in (both / "results.md").read_text()


def by_hand(embeddings, tissue, split="cross"):
    """Scores of embeddings by the head and the split of the benchmark."""
    slices = list(H5adSlices([str(tissue)], SliceSettings(), labels=("domain",)))
    classes = slices[0].classes["domain"]
    parts = [embeddings[item.cell_id[item.cell_id >= 0].numpy()] for item in slices]
    folds = make_folds(split, slices, "domain", 0)
    found = predict_folds(slices, "domain", parts, folds, classes)
    truth = [item.domain[item.cell_id >= 0].numpy() for item in slices]
    return np.mean([(a == b).mean() for a, b in zip(found, truth, strict=True)])


def test_the_row_is_that_of_the_public_lines(tissue, tmp_path):
    adata = anndata.read_h5ad(tissue)
    model = SToFM.fit(adata, slice_key="slice", preset="tiny", progress=False)
    model.embed(adata)
    model.save_pretrained(tmp_path / "model")
    args = ("--data", tissue, "--method", "stofm", "--model", tmp_path / "model", "--runs", 1)
    assert main(*args, "--out", tmp_path / "out") == 0
    rows = results_of(tmp_path / "out")["summary"]
    assert list(rows) == ["stofm", "model"]
    want = by_hand(adata.obsm["X_stofm"], tissue)
    assert rows["stofm"]["accuracy"]["mean"] == pytest.approx(want, abs=1e-6)
    assert all(rows["model"][key] == rows["stofm"][key] for key in ("macro_f1", "accuracy", "runs"))
    assert rows["stofm"]["parameters"] == sum(p.numel() for p in model.parameters())
    # So is that of the command line.
    fitted, embedded = tmp_path / "fitted", tmp_path / "embedded.h5ad"
    assert cli(["fit", str(tissue), "--preset", "tiny", "--out", str(fitted), "--workers", "0"]) == 0
    assert cli(["embed", str(fitted), str(tissue), "--out", str(embedded)]) == 0
    z = anndata.read_h5ad(embedded).obsm["X_stofm"]
    np.testing.assert_allclose(z, adata.obsm["X_stofm"], atol=1e-5)


def test_slices_that_were_not_seen(tissue, tmp_path, capsys):
    args = ("--data", tissue, "--method", "stofm,pca,coordinates", "--unseen", "--runs", 1)
    assert main(*args, "--out", tmp_path / "out") == 0
    rows = results_of(tmp_path / "out")["summary"]
    assert list(rows) == ["stofm", "stofm (unseen)", "pca", "pca (unseen)", "coordinates"]
    # By hand: each slice is embedded by a model that was fitted to the other.
    adata = anndata.read_h5ad(tissue)
    slices = list(H5adSlices([str(tissue)], SliceSettings(), labels=("domain",)))
    score = []
    for fold in make_folds("cross", slices, "domain", 0):
        other = adata[adata.obs["slice"] != f"slice{fold.slice}"].copy()
        model = SToFM.fit(other, preset="tiny", progress=False, seed=0)
        z = model.embed_anndata(adata).numpy()
        parts = [z[item.cell_id[item.cell_id >= 0].numpy()] for item in slices]
        found = predict_folds(slices, "domain", parts, [fold], slices[0].classes["domain"])[fold.slice]
        truth = slices[fold.slice].domain[slices[fold.slice].cell_id >= 0].numpy()
        score.append((found == truth).mean())
    assert rows["stofm (unseen)"]["accuracy"]["mean"] == pytest.approx(np.mean(score), abs=1e-6)
    assert rows["stofm (unseen)"]["accuracy"] != rows["stofm"]["accuracy"]
    args = ("--data", tissue, "--unseen", "--split", "blocks", "--out", tmp_path / "b")
    assert "--unseen keeps test slices out; it goes with --split cross" in error_of(capsys, *args)


def test_variants_of_the_model_are_rows(tissue, tmp_path):
    names = ["mcm", "virtual-cells", "scaling", "read-out-context"]
    args = ("--data", tissue, "--ablate", ",".join(names), "--runs", 1, "--out", tmp_path)
    assert main(*args) == 0
    results = results_of(tmp_path)
    told = [ABLATIONS[name].told for name in names]
    assert list(results["summary"]) == ["stofm", *(f"stofm, {text}" for text in told)]
    full = results["summary"]["stofm"]
    for text in told:
        row = results["summary"][f"stofm, {text}"]
        assert row["against"]["mean"] == pytest.approx(
            row["macro_f1"]["mean"] - full["macro_f1"]["mean"]
        )
        assert row["against"]["pairs"] == 2 and row["macro_f1"] != full["macro_f1"]
    assert "| against the full model |" in (tmp_path / "results.md").read_text()


def test_cell_types_and_the_scores_of_each(tissue, tmp_path):
    args = ["--task", "annotation", "--data", str(tissue), "--method", "pca", "--runs", "1"]
    assert run.main([*args, "--preset", "tiny", "--out", str(tmp_path)]) == 0
    results = results_of(tmp_path)
    assert results["label"] == "cell_type" and results["task"] == "annotation"
    (result,) = results["results"]
    confusion = np.array(result["confusion"])
    truth, guess = (
        np.repeat(np.indices(confusion.shape)[axis].ravel(), confusion.ravel()) for axis in (0, 1)
    )
    want = f1_score(truth, guess, average=None, labels=np.unique(truth), zero_division=0)
    assert list(result["class_f1"].values()) == pytest.approx(want)
    assert len(set(result["class_f1"])) == len(want) > 5 and result["macro_f1"] > 0.3


def test_what_has_a_head_of_its_own(tissue, tmp_path, capsys):
    options = ["--data", str(tissue), "--runs", "1", "--preset", "tiny", "--out", str(tmp_path)]
    args = ["--task", "annotation", "--label", "domain", "--method", "pca,fine-tuned", *options]
    assert run.main(args) == 0
    assert list(results_of(tmp_path)["summary"]) == ["stofm, fine-tuned", "pca"]
    assert run.main(["--task", "clustering", "--method", "fine-tuned", *options, "--fresh"]) == 2
    assert "--method fine-tuned has no row in task 'clustering'" in capsys.readouterr().err


def test_the_same_time_for_all_that_train(tissue, tmp_path, capsys):
    args = ("--data", tissue, "--method", "stofm,cellplm,pca", "--runs", 1, "--seconds")
    assert main(*args, 0.2, "--out", tmp_path / "a") == 0
    results = results_of(tmp_path / "a")
    steps = json.loads((tmp_path / "a" / "budget.json").read_text())["steps"]
    assert sorted(key.split()[0] for key in steps) == ["cellplm", "stofm"]
    info = {run["method"]: run["info"] for run in results["results"]}
    assert {info["stofm"]["steps"], info["cellplm"]["steps"]} == set(steps.values())
    assert "steps" not in info["pca"]
    assert results["train_seconds"] == 0.2
    page = (tmp_path / "a" / "results.md").read_text()
    assert "| train seconds | steps |" in page and "got the steps that take 0.2 s" in page
    # The same steps, the same scores.
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "budget.json").write_bytes((tmp_path / "a" / "budget.json").read_bytes())
    assert main(*args, 0.2, "--out", tmp_path / "b") == 0
    again = results_of(tmp_path / "b")["results"]
    assert [run["slices"] for run in again] == [run["slices"] for run in results["results"]]
    message = error_of(capsys, *args, 5, "--out", tmp_path / "b", "--fresh")
    assert "is of --seconds 0.2 (got 5)" in message
    assert "--seconds must be positive" in error_of(capsys, *args, 0, "--out", tmp_path / "c")


def test_a_label_that_names_cells(tissue, tmp_path, capsys):
    adata = anndata.read_h5ad(tissue)
    adata.obs["domain"] = [f"cell {number}" for number in range(adata.n_obs)]
    adata.write_h5ad(tmp_path / "names.h5ad")
    message = error_of(capsys, "--data", tmp_path / "names.h5ad", "--out", tmp_path / "out")
    assert "--label domain has 500 classes for 500 cells, most of one cell" in message


def test_another_conv_has_a_row_beside_the_se2_layer(tissue, tmp_path):
    args = ("--data", tissue, "--method", "stofm", "--conv", "GCNConv", "--runs", 1)
    assert main(*args, "--out", tmp_path) == 0
    results = results_of(tmp_path)
    assert list(results["summary"]) == ["stofm", "stofm (GCNConv)"]
    assert results["data"] == [str(tissue)] and results["conv"] == "GCNConv"


def test_features_of_ones_own(tissue, tmp_path, capsys):
    adata = anndata.read_h5ad(tissue)
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(500, 4))
    adata.write_h5ad(tmp_path / "own.h5ad")
    args = ("--data", tmp_path / "own.h5ad", "--method", "stofm", "--runs", 1)
    assert main(*args, "--features", "X_own", "--out", tmp_path / "out") == 0
    own = results_of(tmp_path / "out")
    assert main(*args, "--out", tmp_path / "pca") == 0
    pca = results_of(tmp_path / "pca")
    assert own["features"] == "X_own" and own["summary"] != pca["summary"]
    message = error_of(capsys, *args, "--features", "X_owm", "--out", tmp_path / "no")
    assert "'X_owm' is not in 'adata.obsm'" in message and "Did you mean 'X_own'" in message


def test_by_way_of_a_corpus(tissue, tmp_path):
    args = ("--data", tissue, "--method", "stofm-pretrained", "--runs", 1)
    assert main(*args, "--out", tmp_path) == 0
    assert list(results_of(tmp_path)["summary"]) == ["stofm-pretrained"]


def test_what_is_wrong_is_said_before_any_work(tissue, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(SToFMFitted, "embed", lambda *args: pytest.fail("There is an error to be told"))
    args = ("--data", tissue, "--out", tmp_path / "out")
    assert "nowhere" in error_of(capsys, *args, "--model", tmp_path / "nowhere")
    adata = anndata.read_h5ad(tissue)
    adata.X.data = np.log1p(adata.X.data)
    adata.write_h5ad(tmp_path / "log.h5ad")
    message = error_of(capsys, "--data", tmp_path / "log.h5ad", *args[2:])
    assert re.search(r"In '.*log\.h5ad': Expected counts", message)


@pytest.mark.parametrize("split", ["within", "blocks"])
def test_splits_within_a_slice(tissue, tmp_path, split):
    args = ("--data", tissue, "--method", "coordinates", "--split", split, "--runs", 1)
    assert main(*args, "--out", tmp_path) == 0
    results = results_of(tmp_path)
    scored = np.sum(results["results"][0]["confusion"])
    assert scored == {"within": 100, "blocks": 500}[split]


def test_a_single_slice_is_split_into_blocks(tissue, tmp_path):
    adata = anndata.read_h5ad(tissue)
    one = tmp_path / "one.h5ad"
    adata[adata.obs["slice"] == "slice0"].write_h5ad(one)
    assert main("--data", one, "--method", "pca", "--runs", 1, "--out", tmp_path / "out") == 0
    assert results_of(tmp_path / "out")["split"] == "blocks"


def test_a_slice_without_labels_does_not_make_it_cross(tissue, tmp_path):
    adata = anndata.read_h5ad(tissue)
    adata.obs["domain"] = adata.obs["domain"].where(adata.obs["slice"] == "slice0")
    adata.write_h5ad(tmp_path / "half.h5ad")
    args = ("--data", tmp_path / "half.h5ad", "--method", "pca", "--runs", 1)
    assert main(*args, "--out", tmp_path / "out") == 0
    results = results_of(tmp_path / "out")
    assert results["split"] == "blocks"
    assert list(results["results"][0]["slices"]) == ["slice0"]


def test_ctrl_c_keeps_what_is_done(tissue, tmp_path, capsys, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(SToFMFitted, "embed", interrupt)
    args = ("--data", tissue, "--method", "pca,stofm,coordinates", "--runs", 1, "--out", tmp_path)
    assert main(*args) == 130
    results = results_of(tmp_path)
    assert results["interrupted"] is True
    assert list(results["summary"]) == ["pca"]
    assert "Interrupted" in capsys.readouterr().out


def test_unknown_names_are_errors_that_list_the_known(tissue, tmp_path, capsys):
    args = ("--data", tissue, "--out", tmp_path)
    message = error_of(capsys, *args, "--method", "pcaa")
    assert "did you mean 'pca'? Known: stofm, untrained, ring-pca" in message
    assert "Did you mean 'GATv2Conv'" in error_of(capsys, *args, "--conv", "GATv3Conv")
    assert re.search("'domian'.*domain", error_of(capsys, *args, "--label", "domian"), re.S)
    assert re.search("'slise'.*slice", error_of(capsys, *args, "--slice-key", "slise"), re.S)
    assert "The device 'gpu' cannot be used" in error_of(capsys, *args, "--device", "gpu")
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
