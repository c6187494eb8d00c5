import json
from functools import lru_cache

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from benchmarks import run
from benchmarks.expression_evaluator import ExpressionEvaluator
from benchmarks.splits import Fold
from benchmarks.tasks.imputation import PENALTIES, Imputation, predict_expression
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.train import PRESETS, PretrainConfig
from tests.benchmarks.task_case import make_args
from tests.models.fit_case import CONFIG

BASELINES = ["expression-neighbours", "space-neighbours", "gene-mean"]


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """An h5ad file of two small generated slices."""
    path = tmp_path_factory.mktemp("tissue") / "tissue.h5ad"
    generate_tissue(2, 120, 40, 0, num_domains=3, num_cell_types=3, seed=3).write_h5ad(path)
    return str(path)


@lru_cache
def make_task(tissue, **changes):
    """The task, prepared. Not to be changed."""
    task = Imputation(make_args(None, **{"data": [tissue], "method": "pca", **changes}))
    task.prepare()
    return task


def test_the_head_learns_from_training_cells_alone():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(200, 5)) * [1, 9, 1, 0.1, 1] for _ in range(2)]
    weight = rng.normal(size=(5, 3))
    truth = [z @ weight + 2 for z in x]
    hidden = truth[1].copy()
    hidden[50:] = np.nan
    fold = Fold(1, {0: np.arange(200), 1: np.arange(50)}, np.arange(50, 200))
    found = predict_expression(x, fold, [truth[0], hidden])
    np.testing.assert_allclose(found, truth[1][50:], atol=0.2)
    z = np.concatenate([x[0], x[1][:50]])
    y = np.concatenate([truth[0], truth[1][:50]])
    scaler = StandardScaler().fit(z)
    head = RidgeCV(PENALTIES).fit(scaler.transform(z), y)
    np.testing.assert_allclose(found, head.predict(scaler.transform(x[1][50:])))
    one = predict_expression(x, fold, [truth[0][:, :1], hidden[:, :1]])
    assert one.shape == (150, 1)  # Of a single gene, too.


def test_rows_are_those_of_methods_and_three_baselines(tissue):
    rows = make_task(tissue).rows()
    assert list(rows) == ["pca", *BASELINES]
    unseen = make_task(tissue, unseen=True).rows()
    assert list(unseen) == [
        "pca", "pca (unseen)", "expression-neighbours", "expression-neighbours (unseen)",
        "space-neighbours", "gene-mean",
    ]  # fmt: skip


def test_scores_are_correlations_over_the_cells_of_a_slice(tissue):
    task = make_task(tissue, genes=0.25)
    assert task.split == "cross" and len(task.held_out.genes) == 10
    assert "10 of 40 genes (`--genes 0.25`)" in task.notes()
    result = task.one_run(task.rows()["pca"], 0)
    x, truth = task.data.components(), task.held_out.truth
    made = predict_expression(x, Fold(1, {0: np.arange(120)}, np.arange(120)), truth)
    want = ExpressionEvaluator(task.held_out.genes).eval(truth[1], made)
    assert result["scores"]["slice1"] == pytest.approx(want)
    assert set(result["extras"]["gene_pearson"]) <= set(task.held_out.genes)
    of_gene = list(result["extras"]["gene_pearson"].values())
    assert np.mean(of_gene) == pytest.approx(result["pearson"], abs=0.05)
    assert result["pearson"] > 0.05


def test_baselines(tissue):
    task = make_task(tissue)
    found = {name: task.one_run(task.rows()[name], 0)["pearson"] for name in BASELINES}
    assert found["gene-mean"] == 0.0 and found["space-neighbours"] == 0.0  # No cell of the slice.
    assert found["expression-neighbours"] > 0.1
    blocks = make_task(tissue, split="within")
    assert blocks.draws
    near = blocks.one_run(blocks.rows()["space-neighbours"], 0)
    assert near["pearson"] != 0.0
    # In each of two slices a fifth of the cells.
    assert [int(np.isfinite(made).all(axis=1).sum()) for made in near["drawn"]] == [24, 24]


def test_genes_follow_from_the_first_seed(tissue):
    first, again, other = (make_task(tissue, seed=seed).held_out.genes for seed in (0, 0, 1))
    assert first == again != other
    assert make_task(tissue).settings()["held_out"] == first


def test_slices_that_were_not_seen(tissue):
    task = make_task(tissue, unseen=True)
    result = task.one_run(task.rows()["pca (unseen)"], 0)
    x = task.data.components(0)
    made = predict_expression(x, Fold(0, {1: np.arange(120)}, np.arange(120)), task.held_out.truth)
    np.testing.assert_allclose(result["drawn"][0], made, rtol=1e-5)


def test_the_command_line_and_its_files(tissue, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", PretrainConfig.from_dict(CONFIG))
    command = ["--task", "imputation", "--preset", "tiny", "--method", "stofm", "--runs", "1"]
    command += ["--genes", "0.3", "--split", "blocks", "--out", str(tmp_path), "--data", tissue]
    assert run.main(command) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["metrics"] == ["pearson", "pearson_median", "spearman", "spearman_median"]
    assert results["genes"] == 0.3 and len(results["held_out"]) == 12
    assert list(results["summary"]) == ["stofm", *BASELINES]
    assert results["summary"]["stofm"]["pearson"]["mean"] > 0.05
    assert results["summary"]["gene-mean"]["pearson"]["mean"] == 0.0
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert pictures == {f"{name}-genes.png" for name in results["summary"]}
    assert "12 of 40 genes" in (tmp_path / "results.md").read_text()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"genes": 0.0}, "must lie between 0 and 1"),
        ({"genes": 0.99}, "--genes 0.99 leaves 0 of 40 genes"),
        ({"unseen": True, "split": "blocks"}, "it goes with --split cross, not blocks"),
    ],
)
def test_what_does_not_suit_is_refused_before_any_work(tissue, changes, told):
    with pytest.raises(ValueError, match=told):
        make_task(tissue, **changes)


@pytest.mark.realdata
def test_real_genes_are_predicted_better_than_by_chance(real_slices):
    task = make_task(str(real_slices / "starmap_mpfc.h5ad"))
    found = {n: task.one_run(task.rows()[n], 0)["pearson"] for n in ("pca", "gene-mean")}
    assert found["pca"] > 0.2 and found["gene-mean"] == 0.0
