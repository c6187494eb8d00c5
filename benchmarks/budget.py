r"""The same time of training for every method that trains."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from anndata import AnnData

from benchmarks.data import BenchmarkData
from benchmarks.rows import Row
from stofm_pyg._files import write_atomically

FILE = "budget.json"
# Steps are timed on a piece of one slice: their batches are as large there as on all slices.
TRIAL_CELLS, TRIAL_STEPS = 1_000, 12


class Budget:
    r"""Turns seconds into steps. A step of each row is timed once, and the number of steps that fit is
    kept in a file: all seeds, and all tasks on the same slices, train by it. Another run that finds the
    file in its folder, on whatever machine, gives the same scores.

    Args:
        seconds (float): How long each method trains.
        folder (Path): Where the file is.

    Raises:
        ValueError: The seconds are not positive, or the file is damaged or of another budget.
    """

    def __init__(self, seconds: float, folder: Path):
        if not 0 < seconds < float("inf"):
            raise ValueError(f"--seconds must be positive and finite (got {seconds:g})")
        self.seconds = seconds
        self.path = folder / FILE
        self._known = self._read()

    def steps_of(self, rows: Mapping[str, Row], data: BenchmarkData) -> dict[str, int]:
        r"""The number of steps of each row whose method trains by steps, by its name.

        Args:
            rows (dict): The rows.
            data (BenchmarkData): What they are going to train on.
        """
        out, piece = {}, None
        for name, row in rows.items():
            if not getattr(row.method, "trains", False):
                continue
            key = _key(row, data)
            if key not in self._known:
                piece = piece or trial_piece(data)
                steps = max(2, round(self.seconds / seconds_of_step(row.method, piece)))
                self._known[key] = steps
                self._write()
            out[name] = self._known[key]
        return out

    def _read(self) -> dict[str, int]:
        if not self.path.exists():
            return {}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            seconds = float(content["seconds"])
            steps = {str(key): int(value) for key, value in content["steps"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{self.path}' is damaged ({error!r}); remove it, and steps are timed anew"
            ) from error
        if seconds != self.seconds:
            raise ValueError(
                f"'{self.path}' is of --seconds {seconds:g} (got {self.seconds:g}); go on with those, "
                f"choose another --out, or remove the file"
            )
        return steps

    def _write(self):
        content = {"seconds": self.seconds, "steps": self._known}
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        write_atomically(self.path, lambda path: path.write_text(text, encoding="utf-8"))


def seconds_of_step(method: Any, piece: BenchmarkData) -> float:
    r"""How long a step of a method takes.

    Args:
        method (Any): A method that trains by steps; it is left as it was.
        piece (BenchmarkData): A little to train on.
    """
    kept = method.steps
    method.steps = TRIAL_STEPS
    try:
        method.embed(piece)
    finally:
        method.steps = kept
    return method.info["train_seconds"] / method.info["steps"]


def trial_piece(data: BenchmarkData) -> BenchmarkData:
    r"""The cells around the middle of the first slice."""
    source, rows = data.rows[0]
    adata = data.sources[source]
    adata = adata if isinstance(adata, AnnData) else anndata.read_h5ad(adata)
    pos = np.asarray(adata.obsm[data.settings.spatial_key])[rows, :2].astype(np.float64)
    distance = np.linalg.norm(pos - np.median(pos, axis=0), axis=1)
    near = np.sort(np.argsort(distance, kind="stable")[:TRIAL_CELLS])
    return BenchmarkData([adata[rows[near]].copy()], None, data.settings)


def _key(row: Row, data: BenchmarkData) -> str:
    # Of the method and of a hash of its settings and the slices.
    row = row.base or row
    told = {k: v for k, v in row.settings.items() if k not in ("unseen", "variant_of")}
    text = json.dumps([told, data.hashes(), data.settings.to_dict()], sort_keys=True)
    return f"{row.settings['method']} {hashlib.sha256(text.encode()).hexdigest()[:16]}"
