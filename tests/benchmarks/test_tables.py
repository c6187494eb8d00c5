import pytest

from benchmarks.tables import (
    against_best,
    best_row,
    class_scores,
    columns,
    facts,
    markdown,
    slug,
    summarise,
)


def run(method, seed=0, row=None, seconds=1.0, **slices):
    scores = {name: {"f1": value, "loss": 1 - value} for name, value in slices.items()}
    mean = sum(slices.values()) / len(slices)
    return {
        "method": method, "seed": seed, "f1": mean, "loss": 1 - mean, "slices": scores,
        "seconds": {"embed": seconds, "head": 1.0}, "row": row or {}, "info": {}, "peak_mib": None,
    }  # fmt: skip


RUNS = [
    run("stofm", 0, x=0.9, y=0.7), run("stofm", 1, x=0.8, y=0.6), run("untrained", 0, x=0.5, y=0.3),
    run("untrained", 1, x=0.5, y=0.3), run("pca", 0, x=0.7, y=0.7),
    run("stofm, no rings", 0, {"variant_of": "stofm"}, x=0.95, y=0.85),
    run("stofm, no rings", 1, {"variant_of": "stofm"}, x=0.85, y=0.75),
]  # fmt: skip


def test_mean_deviation_and_differences():
    found = summarise(RUNS, ("f1", "loss"))
    assert found["stofm"]["f1"] == {"mean": pytest.approx(0.75), "std": pytest.approx(0.05)}
    assert found["stofm"]["runs"] == 2 and found["stofm"]["seconds"] == 2.0
    assert found["stofm"]["learned"]["mean"] == pytest.approx(0.35)
    assert found["pca"]["learned"] is None and "against" not in found["stofm"]
    assert found["stofm, no rings"]["against"]["mean"] == pytest.approx(0.1)
    assert found["stofm, no rings"]["learned"] is None
    assert "peak_mib" not in found["pca"] and "parameters" not in found["pca"]


def test_the_best_of_the_others_on_each_slice():
    found = against_best(RUNS, ("f1", "loss"))
    assert found["row"] == "pca" and found["difference"]["mean"] == pytest.approx(0.05)
    assert {name: value["mean"] for name, value in found["slices"].items()} == {
        "x": pytest.approx(0.15), "y": pytest.approx(-0.05),
    }  # fmt: skip
    assert against_best([item for item in RUNS if item["method"] == "pca"], ("f1",)) is None
    assert against_best([item for item in RUNS if "stofm" in item["method"]], ("f1",)) is None
    summary = summarise(RUNS, ("f1",))
    assert best_row(summary, "f1") == "stofm, no rings" and best_row({}, "f1") is None


def test_a_table_has_the_columns_that_there_are():
    head, rows = columns(summarise(RUNS, ("f1", "loss")), ("f1", "loss"))
    assert head == ["method", "f1", "loss", "learned", "against the full model", "runs", "seconds a run"]
    assert rows[0][:3] == ["stofm", "0.750 ± 0.050", "0.250 ± 0.050"]
    assert rows[3][4].startswith("+0.100 (") and rows[0][4] == ""
    timed = [
        {
            **item,
            "info": {"parameters": 1200, "ms_per_step": 2.5, "steps": 4000, "train_seconds": 10.04},
            "peak_mib": 1500.0,
        }
        for item in RUNS
    ]
    head, rows = columns(summarise(timed[4:5], ("f1",)), ("f1",))
    assert head == [
        "method", "f1", "runs", "seconds a run", "train seconds", "steps", "ms a step", "parameters",
        "peak MiB",
    ]  # fmt: skip
    assert rows[0][3:] == ["2.0", "10.0", "4,000", "2.5", "1,200", "1,500"]
    text = markdown(summarise(RUNS, ("f1", "loss")), ("f1", "loss"), ("loss",)).splitlines()
    assert text[0].startswith("| method | f1 | loss ↓ | learned |") and text[1] == "|---" * 7 + "|"
    assert text[5].startswith("| stofm, no rings | **0.850 ± 0.050** | 0.150 ± 0.050 |")
    assert text[4].startswith("| pca | 0.700 | 0.300 |")  # One run has no deviation.


def test_scores_of_classes_are_means_over_runs():
    runs = [{"method": "a", "class_f1": {"x": 0.5}}, {"method": "a", "class_f1": {"x": 1.0, "y": 0.2}}]
    assert class_scores([*runs, {"method": "b"}]) == {"a": {"x": 0.75, "y": 0.2}}


def test_facts_and_names():
    values = {
        "data": ["/some/where/one.h5ad"], "label": "domain", "preset": "tiny", "runs": 2, "seed": 0,
        "slices": [{"name": "a", "cells": 1200}, {"name": "b", "cells": 300}], "device": "cpu",
        "versions": {"stofm_pyg": "1", "torch": "2"},
    }  # fmt: skip
    assert facts(values) == (
        "one.h5ad: 2 slices, 1,500 cells, label `domain`; preset `tiny`, 2 seeds from 0, on cpu; "
        "stofm_pyg 1, PyTorch 2."
    )
    values |= {"slices": values["slices"][:1], "train_seconds": 20.0}
    assert "1 slice, 1,200 cells" in facts(values)
    assert "preset `tiny`, 20 s of training for each method, 2 seeds" in facts(values)
    assert slug("stofm (GATv2Conv, pca)") == "stofm-GATv2Conv-pca"
