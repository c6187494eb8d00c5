r"""Runs of a benchmark as a table: means, deviations, and what one row has above another."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import paired_difference, told

NAMES = {
    "macro_f1": "macro-F1",
    "ari": "ARI",
    "nmi": "NMI",
    "ari_stable": "ARI, stable number",
    "ari_kmeans": "ARI, k-means",
    "ilisi": "iLISI",
    "rmse": "RMSE",
    "pearson": "Pearson",
    "pearson_median": "Pearson, median",
    "spearman": "Spearman",
    "spearman_median": "Spearman, median",
    "jensen_shannon": "Jensen-Shannon",
}


def summarise(runs: Sequence[Mapping], metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    r"""Mean and standard deviation over the runs of each row, by its name; what it learned, that is,
    what it has above the same model untrained; and what it has above the row that it is a variant of.

    Args:
        runs (sequence of dict): The runs, with :obj:`method`, :obj:`seed`, :obj:`slices` and metrics.
        metrics (sequence of str): The metrics; the first one decides.
    """
    out: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(run["method"] for run in runs):
        mine = [run for run in runs if run["method"] == name]
        row: dict[str, Any] = {metric: _spread([run[metric] for run in mine]) for metric in metrics}
        row["runs"] = len(mine)
        row["learned"] = None
        if name.startswith("stofm"):  # The same operator, the same slices kept out.
            start = name.replace("stofm-pretrained", "stofm").replace("stofm", "untrained", 1)
            row["learned"] = paired_difference(runs, name, start, metrics[0])
        variant_of = mine[0].get("row", {}).get("variant_of")
        if variant_of is not None:
            row["variant_of"] = variant_of
            row["against"] = paired_difference(runs, name, variant_of, metrics[0])
        row["seconds"] = float(np.mean([sum(run["seconds"].values()) for run in mine]))
        for key in ("peak_mib", "parameters", "steps", "train_seconds", "ms_per_step"):
            values = [run.get(key, run.get("info", {}).get(key)) for run in mine]
            values = [value for value in values if value is not None]
            if values:
                row[key] = float(np.mean(values))
        out[name] = row
    return out


def markdown(summary: Mapping[str, Mapping], metrics: Sequence[str], lower: Sequence[str] = ()) -> str:
    r"""A summary as a Markdown table, the best of each metric that decides in bold."""
    head, rows = columns(summary, metrics)
    best = best_row(summary, metrics[0])
    for (_, row), cells in zip(summary.items(), rows, strict=True):
        if row[metrics[0]]["mean"] == summary[best][metrics[0]]["mean"]:
            cells[1] = f"**{cells[1]}**"
    head = [f"{text} ↓" if metric in lower else text for text, metric in _with_metrics(head, metrics)]
    lines = [f"| {' | '.join(cells)} |" for cells in ([*head], ["---"] * len(head), *rows)]
    lines[1] = "|" + "---|" * len(head)
    return "\n".join(lines)


def columns(summary: Mapping[str, Mapping], metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    r"""The heads of the columns of a table, and the cells of each row in words."""
    rows = list(summary.values())
    head = ["method", *(metric_name(metric) for metric in metrics)]
    optional = {
        "learned": any(row["learned"] for row in rows),
        "against the full model": any("variant_of" in row for row in rows),
        "parameters": any("parameters" in row for row in rows),
        "steps": any("steps" in row for row in rows),
        "train seconds": any("train_seconds" in row for row in rows),
        "ms a step": any("ms_per_step" in row for row in rows),
        "peak MiB": any("peak_mib" in row for row in rows),
    }
    head += [text for text in ("learned", "against the full model") if optional[text]]
    head += ["runs", "seconds a run"]
    more = ("train seconds", "steps", "ms a step", "parameters", "peak MiB")
    head += [text for text in more if optional[text]]
    return head, [_cells(name, row, metrics, head) for name, row in summary.items()]


def _cells(name: str, row: Mapping, metrics: Sequence[str], head: Sequence[str]) -> list[str]:
    made = {
        "method": name,
        **{metric_name(m): _told_spread(row[m], row["runs"]) for m in metrics},
        "learned": told(row["learned"]),
        "against the full model": told(row.get("against")),
        "runs": str(row["runs"]),
        "seconds a run": f"{row['seconds']:.1f}",
        "parameters": f"{row['parameters']:,.0f}" if "parameters" in row else "",
        "steps": f"{row['steps']:,.0f}" if "steps" in row else "",
        "train seconds": f"{row['train_seconds']:.1f}" if "train_seconds" in row else "",
        "ms a step": f"{row['ms_per_step']:.1f}" if "ms_per_step" in row else "",
        "peak MiB": f"{row['peak_mib']:,.0f}" if "peak_mib" in row else "",
    }
    return [made[text] for text in head]


def best_row(summary: Mapping[str, Mapping], metric: str, baselines: bool = False) -> str | None:
    r"""The name of the row with the highest metric; of the baselines, that is, what is neither SToFM nor
    kept from the test slice, if so asked."""
    names = [
        name
        for name, row in summary.items()
        if not baselines or not (_is_model(name) or "(unseen)" in name or "variant_of" in row)
    ]
    return max(names, key=lambda name: summary[name][metric]["mean"], default=None)


def against_best(runs: Sequence[Mapping], metrics: Sequence[str]) -> dict[str, Any] | None:
    r"""What SToFM has above the best of the other rows: over all slices, and on each."""
    summary = summarise(runs, metrics)
    best = best_row(summary, metrics[0], baselines=True)
    if "stofm" not in summary or best is None:
        return None
    slices = dict.fromkeys(name for run in runs if run["method"] == "stofm" for name in run["slices"])
    each = {}
    for name in slices:
        part = [{**run, "slices": {k: v for k, v in run["slices"].items() if k == name}} for run in runs]
        each[name] = paired_difference(part, "stofm", best, metrics[0])
    return {
        "row": best,
        "difference": paired_difference(runs, "stofm", best, metrics[0]),
        "slices": {name: found for name, found in each.items() if found is not None},
    }


def class_scores(runs: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    r"""The mean F1 of each class over the runs of each row, where a task has classes."""
    out: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(run["method"] for run in runs):
        mine = [run["class_f1"] for run in runs if run["method"] == name and "class_f1" in run]
        keys = dict.fromkeys(key for scores in mine for key in scores)
        if keys:
            out[name] = {
                key: float(np.mean([scores[key] for scores in mine if key in scores])) for key in keys
            }
    return out


def facts(values: Mapping[str, Any]) -> str:
    r"""What results were made of, in a line."""
    data = values["data"]
    data = data if isinstance(data, str) else ", ".join(Path(file).name for file in data)
    cells = sum(item["cells"] for item in values["slices"])
    label = f", label `{values['label']}`" if values.get("label") else ""
    seeds = "1 seed" if values["runs"] == 1 else f"{values['runs']} seeds"
    slices = "1 slice" if len(values["slices"]) == 1 else f"{len(values['slices'])} slices"
    seconds = values.get("train_seconds")
    trained = "" if seconds is None else f", {seconds:g} s of training for each method"
    return (
        f"{data}: {slices}, {cells:,} cells{label}; preset `{values['preset']}`{trained}, {seeds} from "
        f"{values['seed']}, on {values['device']}; stofm_pyg {values['versions']['stofm_pyg']}, PyTorch "
        f"{values['versions']['torch']}."
    )


def slug(name: str) -> str:
    r"""A name as part of the name of a file."""
    return re.sub(r"[^\w-]+", "-", name).strip("-")


def metric_name(metric: str) -> str:
    r"""What a metric is called in a table."""
    return NAMES.get(metric, metric.replace("_", " "))


def _is_model(name: str) -> bool:
    return name.startswith(("stofm", "model"))


def _with_metrics(head: Sequence[str], metrics: Sequence[str]):
    names = {metric_name(metric): metric for metric in metrics}
    return [(text, names.get(text)) for text in head]


def _told_spread(value: Mapping[str, float], runs: int) -> str:
    # One run has no deviation.
    return f"{value['mean']:.3f}" + (f" ± {value['std']:.3f}" if runs > 1 else "")


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}
