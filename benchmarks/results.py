r"""What a benchmark leaves behind: `results.json`, `results.md` and pictures."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.paired import told
from benchmarks.tables import against_best, markdown, summarise
from stofm_pyg import __version__
from stofm_pyg._files import write_atomically

PACKAGES = ("torch", "torch-geometric", "torch-cluster", "torch-scatter", "numpy", "scikit-learn")
# What may differ between a run and its continuation.
FREE = ("data", "methods", "runs", "conv", "features", "model", "machine", "ablate")


class Results:
    r"""The results of a task; files are rewritten as a whole after every run. Where the folder holds
    runs of the same task, data and settings, these are kept.

    Args:
        out (Path): The directory to write to; made if need be.
        metrics (sequence of str): The metrics; the first one decides.
        lower (sequence of str, optional): Those of which lower is better. (default: :obj:`()`)
        notes (str, optional): What stands below the table. (default: :obj:`""`)

    Raises:
        OSError: The directory cannot be written to.
    """

    def __init__(self, out: Path, metrics: Sequence[str], lower: Sequence[str] = (), notes: str = ""):
        self.out = out
        self.metrics, self.lower, self.notes = metrics, lower, notes
        self.settings: dict[str, Any] = {}
        self.runs: list[dict[str, Any]] = []
        check_writable(out)

    def start(self, rows: Mapping[str, Mapping], fresh: bool = False, **settings):
        r"""Notes what is about to run, and takes over what was run before.

        Args:
            rows (dict): The settings of each row, by its name.
            fresh (bool, optional): Forgets what was run before. (default: :obj:`False`)
            **settings (optional): What decides the numbers, as plain values.

        Raises:
            ValueError: The folder holds runs of other data or settings, or of another row of the same
                name; the message says what differs.
        """
        versions = _versions()
        self.settings = json.loads(json.dumps(settings)) | {"versions": versions, "machine": _machine()}
        self.settings |= {"metrics": list(self.metrics), "lower": list(self.lower)}
        old = None if fresh else self._read()
        if old is None:
            return
        differs = [
            f"{key} {_short(old.get(key))} there, {_short(value)} now"
            for key, value in self.settings.items()
            if key not in FREE and old.get(key) != value
        ]
        runs = old["results"]
        for run in runs:
            now = rows.get(run["method"])
            if now is not None and run.get("row") != json.loads(json.dumps(now)):
                differs.append(
                    f"row '{run['method']}' {_short(run.get('row'))} there, {_short(now)} now"
                )
                break
        if differs:
            raise ValueError(
                f"'{self.out}' holds a run with other settings: {'; '.join(differs)}. Go on with the "
                f"same settings, pass --fresh to start anew, or choose another --out"
            )
        self.runs = runs

    def has(self, name: str, seed: int) -> bool:
        r"""Whether a row was run with a seed."""
        return any(run["method"] == name and run["seed"] == seed for run in self.runs)

    def add(self, name: str, seed: int, row: Mapping[str, Any], result: Mapping[str, Any]):
        r"""Adds one run: what :meth:`Task.run_row` gave, for a row with some settings."""
        self.runs.append(
            {
                "method": name,
                "seed": seed,
                "row": dict(row),
                **{metric: result[metric] for metric in self.metrics},
                "slices": result["scores"],
                **result["extras"],
                "seconds": {part: round(value, 2) for part, value in result["seconds"].items()},
                "peak_mib": result["peak_mib"],
                "info": result["info"],
            }
        )
        self.write(finished=False)

    def summary(self) -> dict[str, dict[str, Any]]:
        r"""Mean and standard deviation of each metric over the runs of each row."""
        return summarise(self.runs, self.metrics)

    def table(self) -> str:
        r"""The summary as a Markdown table, the best row in bold."""
        return markdown(self.summary(), self.metrics, self.lower)

    def against_best(self) -> str:
        r"""What SToFM has above the best of the other rows, in a sentence."""
        found = against_best(self.runs, self.metrics)
        if found is None:
            return ""
        best, difference = found["row"], told(found["difference"])
        return f"stofm against {best}, the best of the others: {difference}."

    def finish(self, order: Sequence[str], interrupted: bool = False) -> str:
        r"""Writes the files a last time, rows in an order, and returns what to print."""
        place = {name: number for number, name in enumerate(order)}
        self.runs.sort(key=lambda run: (run["seed"], place.get(run["method"], len(place))))
        self.write(finished=not interrupted, interrupted=interrupted)
        lines = [self.table(), "", self.against_best(), f"Results are in {self.out}"]
        if interrupted:
            lines.insert(1, "\nInterrupted: the table holds the runs that were done.")
        return "\n".join(lines)

    def write(self, **state):
        r"""Writes the files as wholes."""
        summary = {"summary": self.summary(), "against_best": against_best(self.runs, self.metrics)}
        results = {**self.settings, **state, **summary, "notes": self.notes, "results": self.runs}
        text = json.dumps(results, indent=2) + "\n"
        write_atomically(self.out / "results.json", lambda path: path.write_text(text, encoding="utf-8"))
        learned = any(row["learned"] for row in self.summary().values())
        page = (
            f"# {self.settings['task']}: {self.settings['data']}\n\n{self.table()}\n\n"
            f"{self.against_best()}\n\n"
            f"Mean and standard deviation over runs; a run's score is the mean over slices. "
            + (
                "Learned: trained minus untrained, of the first metric, paired over seeds and slices, "
                "with its bootstrap interval of 95 %. "
                if learned
                else ""
            )
            + f"{self.notes}\n"
        )
        write_atomically(self.out / "results.md", lambda path: path.write_text(page, encoding="utf-8"))

    def _read(self) -> dict[str, Any] | None:
        path = self.out / "results.json"
        if not path.exists():
            return None
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            known = isinstance(old["results"], list) and all("method" in run for run in old["results"])
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise ValueError(
                f"'{path}' is damaged or no file of this benchmark; pass --fresh to write it anew, or "
                f"choose another --out"
            )
        return old


def check_writable(out: Path):
    r"""Makes a directory if need be, and raises an OSError if nothing can be written to it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".writable", lambda path: path.write_text(""))
        (out / ".writable").unlink()
    except OSError as error:
        raise OSError(
            f"--out {out} cannot be written to ({error.strerror or error}); free some space or "
            f"choose another directory"
        ) from error


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else f"{text[:100]} … {text[-40:]}"


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "cores": os.cpu_count()}


def _versions() -> dict[str, str]:
    out = {"stofm_pyg": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            out[package] = "not installed"
    return out
