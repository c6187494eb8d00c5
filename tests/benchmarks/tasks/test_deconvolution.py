import json
from functools import lru_cache

import numpy as np
import pytest

from benchmarks import run
from benchmarks.profiles import nnls_proportions, reference_profiles
from benchmarks.proportion_evaluator import ProportionEvaluator
from benchmarks.proportion_head import ProportionHead
from benchmarks.tasks.deconvolution import Deconvolution
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.train import PRESETS, PretrainConfig
from tests.benchmarks.task_case import make_args
from tests.benchmarks.test_reference_spots import make_reference
from tests.models.fit_case import CONFIG


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """An h5ad file of two small generated slices."""
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    generate_tissue(2, 150, 40, 0, num_domains=3, num_cell_types=3, seed=3).write_h5ad(path)
    return str(path)


@lru_cache
def make_task(tissue, **changes):
    """The task, prepared. Not to be changed."""
    args = {"data": [tissue], "method": "pca", "cells_per_spot": 3.0, "grid": "square", **changes}
    task = Deconvolution(make_args(None, **args))
    task.prepare()
    return task


def results_of(out):
    return json.loads((out / "results.json").read_text())


def test_rows_are_those_of_methods_and_three_guesses(tissue):
    rows = make_task(tissue).rows()
    assert list(rows) == ["pca", "nnls", "nearest-profile", "mean"]
    assert not any(row.seeded for row in rows.values())
    unseen = make_task(tissue, unseen=True).rows()
    assert list(unseen) == ["pca", "pca (unseen)", "nnls", "nearest-profile", "mean"]


def test_scores_are_those_of_the_head_by_hand(tissue):
    task = make_task(tissue)
    assert task.split == "cross" and not task.draws
    result = task.one_run(task.rows()["pca"], 0)
    assert list(result["scores"]) == ["slice0", "slice1"]
    x, truth = task.data.components(), task.spots.truth
    evaluator = ProportionEvaluator(task.spots.classes)
    for number, name in enumerate(result["scores"]):
        made = ProportionHead().fit(x[1 - number], truth[1 - number]).predict(x[number])
        want = evaluator.eval(truth[number], made)
        assert result["scores"][name] == pytest.approx(want, abs=1e-9)
    assert result["pearson"] > 0.3
    mean = [scores["rmse"] for scores in result["scores"].values()]
    assert result["rmse"] == pytest.approx(np.mean(mean))
    assert set(result["extras"]["class_pearson"]) == set(task.spots.classes)


def test_guesses_rest_on_the_cells_of_training_spots(tissue):
    task = make_task(tissue)
    result = task.one_run(task.rows()["nnls"], 0)
    counts, codes, _ = task.spots.reference[1]
    made = nnls_proportions(task.spots.counts[0], reference_profiles(counts, codes, 3))
    want = ProportionEvaluator(task.spots.classes).eval(task.spots.truth[0], made)
    assert result["scores"]["slice0"] == pytest.approx(want)
    assert result["pearson"] > 0.3
    mean = task.one_run(task.rows()["mean"], 0)
    assert mean["pearson"] == 0.0
    np.testing.assert_allclose(mean["drawn"][0], np.tile(task.spots.truth[1].mean(axis=0), (50, 1)))
    nearest = task.one_run(task.rows()["nearest-profile"], 0)["drawn"]
    assert set(np.unique(np.concatenate(nearest))) == {0.0, 1.0}


def test_blocks_predict_each_spot_once_and_differ_with_the_seed(tissue):
    task = make_task(tissue, split="blocks")
    assert task.draws and "split `blocks`" in task.notes()
    first, second = (task.one_run(task.rows()["pca"], seed) for seed in (0, 1))
    assert all(np.isfinite(made).all() for made in first["drawn"])
    assert first["scores"] != second["scores"]


def test_slices_that_were_not_seen(tissue):
    task = make_task(tissue, unseen=True)
    result = task.one_run(task.rows()["pca (unseen)"], 0)
    x = task.data.components(0)  # Without the first slice, which is predicted.
    made = ProportionHead().fit(x[1], task.spots.truth[1]).predict(x[0])
    np.testing.assert_allclose(result["drawn"][0], made, atol=1e-9)


def test_the_command_line_and_its_files(tissue, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "tiny", PretrainConfig.from_dict(CONFIG))
    command = ["--task", "deconvolution", "--preset", "tiny", "--method", "stofm", "--runs", "1"]
    command += ["--grid", "hexagonal", "--cells-per-spot", "3", "--out", str(tmp_path)]
    assert run.main([*command, "--data", tissue]) == 0
    results = results_of(tmp_path)
    assert results["metrics"] == ["pearson", "rmse", "jensen_shannon"]
    assert results["lower"] == ["rmse", "jensen_shannon"]
    assert (results["grid"], results["cells_per_spot"]) == ("hexagonal", 3.0)
    assert list(results["summary"]) == ["stofm", "nnls", "nearest-profile", "mean"]
    for row in results["results"]:
        for scores in row["slices"].values():
            assert 0 <= scores["rmse"] <= 1 and 0 <= scores["jensen_shannon"] <= 1
    assert "Spots are sums of single cells on a hexagonal grid" in (tmp_path / "results.md").read_text()
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert pictures == {f"{name}-proportions.png" for name in results["summary"]}
    assert "| nnls |" in capsys.readouterr().out


def make_spots(tissue, path):
    """The slices of the tissue as spots of no known type, with the genes of the reference."""
    adata = generate_tissue(2, 100, 40, 0, num_domains=3, num_cell_types=3, seed=4)
    adata.var_names = [f"g{i}" for i in range(40)]
    del adata.obs["cell_type"]
    adata.write_h5ad(path)
    return str(path)


def test_real_spots_with_a_reference(tissue, tmp_path):
    file, _ = make_reference(tmp_path / "reference.h5ad")
    spots = make_spots(tissue, tmp_path / "spots.h5ad")
    task = make_task(spots, reference=file, cells_per_spot=None)
    assert task.metrics == ("pearson", "rmse", "jensen_shannon", "agree_markers", "agree_nnls")
    assert Deconvolution.metrics == ("pearson", "rmse", "jensen_shannon")
    assert task.cells_per_spot == 20 and "Nobody knows the mixtures" in task.notes()
    assert task.settings()["reference"] == file
    found = task.one_run(task.rows()["pca"], 0)
    assert list(found["scores"]) == ["slice0", "slice1"]
    # The scores are of the simulated counterpart that was not trained on.
    training = task.spots.training
    assert len(training) == 4 and task.spots.testing == [4, 7]
    x = task.data.components()
    z = np.concatenate([x[number] for number in training])
    truth = np.concatenate([task.spots.truth[number] for number in training])
    made = ProportionHead().fit(z, truth).predict(x[4])
    want = ProportionEvaluator(task.spots.classes).eval(task.spots.truth[4], made)
    scores = found["scores"]["slice0"]
    assert {key: scores[key] for key in want} == pytest.approx(want, abs=1e-9)
    assert want["pearson"] > 0.8  # Types with genes of their own are easily told apart.
    agree = task.one_run(task.rows()["nnls"], 0)
    assert agree["agree_nnls"] == pytest.approx(1.0)
    assert task.one_run(task.rows()["mean"], 0)["agree_markers"] == 0.0
    task.draw("pca", found, tmp_path)
    assert (tmp_path / "pca-proportions.png").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"label": "kind"}, "'kind' is not in 'adata.obs'"),
        ({"unseen": True, "split": "blocks"}, "it goes with --split cross, not --split blocks"),
        ({"unseen": True, "reference": "r.h5ad"}, "it goes with --split cross, not --reference"),
        ({"split": "blocks", "reference": "r.h5ad"}, "with --reference there are none"),
        ({"data": None, "reference": "r.h5ad"}, "--reference goes with --data"),
        ({"cells_per_spot": 0.5}, "must be at least 1"),
        ({"cells_per_spot": 0.5, "reference": "r.h5ad"}, "--cells-per-spot must be at least 1"),
        ({"cells_per_spot": 0.0}, "must be at least 1"),
        ({"cells_per_spot": 500.0}, "too few for two spots"),
    ],
)
def test_what_does_not_suit_is_refused_before_any_work(tissue, changes, told):
    with pytest.raises(ValueError, match=told):
        make_task(tissue, **changes)


@pytest.mark.realdata
def test_real_cells_are_told_better_than_by_chance(real_slices):
    task = make_task(str(real_slices / "starmap_mpfc.h5ad"), cells_per_spot=5.0)
    found = {name: task.one_run(task.rows()[name], 0)["pearson"] for name in ("pca", "nnls", "mean")}
    assert found["nnls"] > 0.6 and found["pca"] > 0.5 and found["mean"] == 0.0
