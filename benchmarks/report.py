r"""What a benchmark leaves behind: a table, `results.json`, `results.md` and pictures."""

import json
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks.paired import paired_difference, told
from benchmarks.splits import cell_labels
from stofm_pyg import __version__
from stofm_pyg._files import write_atomically
from stofm_pyg.nn import NodeType
from stofm_pyg.plot import plot_confusion, plot_domains, plot_truth_and_prediction

PACKAGES = ("torch", "torch-geometric", "torch-cluster", "torch-scatter", "numpy", "scikit-learn")
METRICS = ("macro_f1", "accuracy")
SPLIT_NOTES = {
    "within": "A random 8:2 split of each slice. The neighbours of a test cell are in training, so "
    "position alone (`coordinates`) does well: this split says little about the tissue.",
    "blocks": "Contiguous regions of each slice held out, in five folds.",
    "cross": "Each slice held out in turn. The methods see its cells, never its labels.",
}


class Report:
    r"""Collects the results of a benchmark; the files are rewritten as a whole after every run.

    Args:
        out (Path): The directory to write to; made if need be.

    Raises:
        OSError: If the directory cannot be written to.
    """

    def __init__(self, out: Path):
        self.out = out
        self.settings: dict = {}
        self.runs: list[dict] = []
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_atomically(out / ".writable", lambda path: path.write_text(""))
            (out / ".writable").unlink()
        except OSError as error:
            raise OSError(
                f"--out {out} cannot be written to ({error.strerror or error}); free some space or "
                f"choose another directory"
            ) from error

    def start(self, **settings):
        r"""Notes what is about to run."""
        self.settings = settings | {"versions": _versions()}

    def add(self, name: str, seed: int, scores: dict, confusion: np.ndarray, seconds: dict):
        r"""Adds one run: the metrics of every slice, the confusion matrix and times in seconds."""
        mean = {m: float(np.mean([score[m] for score in scores.values()])) for m in METRICS}
        self.runs.append(
            {
                "method": name,
                "seed": seed,
                **mean,
                "slices": scores,
                "confusion": confusion.tolist(),
                "seconds": {part: round(value, 2) for part, value in seconds.items()},
            }
        )
        self._write(finished=False)

    def pictures(self, name, seed, slices, label, classes, predictions, confusion):
        r"""Draws the first run of a method: truth beside prediction, confusion, and the domains."""
        if any(run["method"] == name and run["seed"] != seed for run in self.runs):
            return
        folder = self.out / "pictures"
        folder.mkdir(exist_ok=True)
        drawn = [
            {
                "name": data.name,
                "pos": data.pos[data.node_type == NodeType.CELL].numpy(),
                "truth": cell_labels(data, label),
                "prediction": prediction,
                "classes": classes,
            }
            for data, prediction in zip(slices, predictions, strict=True)
        ]
        plot_truth_and_prediction(drawn, folder / f"{_slug(name)}-truth-and-prediction.png")
        plot_confusion(confusion, classes, folder / f"{_slug(name)}-confusion.png")
        plot_domains(drawn, folder / f"{_slug(name)}-domains.png")

    def summary(self) -> dict[str, dict]:
        r"""Mean and standard deviation of each metric over the runs of each method."""
        out: dict[str, dict] = {}
        for name in dict.fromkeys(run["method"] for run in self.runs):
            runs = [run for run in self.runs if run["method"] == name]
            out[name] = {
                metric: {
                    "mean": float(np.mean([run[metric] for run in runs])),
                    "std": float(np.std([run[metric] for run in runs])),
                }
                for metric in METRICS
            }
            out[name]["runs"] = len(runs)
            out[name]["learned"] = None
            if name.startswith("stofm"):  # The same operator, the same slices kept out.
                start = name.replace("stofm-pretrained", "stofm").replace("stofm", "untrained", 1)
                out[name]["learned"] = paired_difference(self.runs, name, start)
            out[name]["seconds"] = float(np.mean([sum(run["seconds"].values()) for run in runs]))
        return out

    def table(self) -> str:
        r"""The summary as a Markdown table, the best macro-F1 in bold."""
        summary = self.summary()
        rows = ["| method | macro-F1 | accuracy | learned | runs | seconds a run |"]
        rows.append("|---|---|---|---|---|---|")
        best = max((row["macro_f1"]["mean"] for row in summary.values()), default=None)
        for name, row in summary.items():
            f1, accuracy = (f"{row[m]['mean']:.3f} ± {row[m]['std']:.3f}" for m in METRICS)
            f1 = f"**{f1}**" if row["macro_f1"]["mean"] == best else f1
            learned = told(row["learned"])
            rows.append(
                f"| {name} | {f1} | {accuracy} | {learned} | {row['runs']} | {row['seconds']:.1f} |"
            )
        return "\n".join(rows)

    def against_best(self) -> str:
        r"""What SToFM has above the best of the other rows, in a sentence."""
        summary = self.summary()
        others = {
            name: row["macro_f1"]["mean"]
            for name, row in summary.items()
            if not name.startswith(("stofm", "model")) and "(unseen)" not in name
        }
        if "stofm" not in summary or not others:
            return ""
        best = max(others, key=others.get)
        difference = told(paired_difference(self.runs, "stofm", best))
        return f"stofm against {best}, the best of the others: {difference}."

    def finish(self, interrupted: bool = False) -> str:
        r"""Writes the files a last time and returns what to print."""
        self._write(finished=not interrupted, interrupted=interrupted)
        lines = [self.table(), "", self.against_best(), f"Results are in {self.out}"]
        if interrupted:
            lines.insert(1, "\nInterrupted: the table holds the runs that were done.")
        return "\n".join(lines)

    def _write(self, **state):
        results = {**self.settings, **state, "summary": self.summary(), "results": self.runs}
        text = json.dumps(results, indent=2) + "\n"
        write_atomically(self.out / "results.json", lambda path: path.write_text(text))
        split = self.settings["split"]
        page = (
            f"# {self.settings['task']}: {self.settings['data']}\n\n{self.table()}\n\n"
            f"{self.against_best()}\n\n"
            f"Mean and standard deviation over runs; a run's score is the mean over slices. Learned: "
            f"trained minus untrained macro-F1, paired over seeds and slices, with its bootstrap "
            f"interval of 95 %. "
            f"Split `{split}`. {SPLIT_NOTES[split]}\n"
        )
        write_atomically(self.out / "results.md", lambda path: path.write_text(page))


def _slug(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name).strip("-")


def _versions() -> dict[str, str]:
    out = {"stofm_pyg": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            out[package] = "not installed"
    return out
