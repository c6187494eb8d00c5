r"""Embeds slices by a method, and takes its time and memory."""

import gc
import hashlib
import json
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import BenchmarkData
from benchmarks.rows import Row
from benchmarks.speed.harness import high_water
from stofm_pyg._files import write_atomically


@dataclass
class Embedding:
    r"""What a method made of slices.

    Args:
        x (list[np.ndarray]): The embedding of the cells of each slice :math:`(N, D)`.
        seconds (float): How long it took.
        peak_mib (float, optional): The most memory that the process held by then, from the beginning of
            the row on, in MiB; :obj:`None` where that cannot be told.
        info (dict): What the method says of itself, *e.g.*, its number of :obj:`parameters`.
    """

    x: list[np.ndarray]
    seconds: float
    peak_mib: float | None = None
    info: dict[str, Any] = field(default_factory=dict)


def embed(
    row: Row, data: BenchmarkData, seed: int, without: int | None = None, cache: Path | None = None
) -> Embedding:
    r"""Embeds slices by a method, or takes what another task left for the same row, slices and seed.

    Args:
        row (Row): The row.
        data (BenchmarkData): The slices.
        seed (int): The seed.
        without (int, optional): The slice that the method must not learn from. (default: :obj:`None`)
        cache (Path, optional): A folder in which tasks leave embeddings for one another.
            (default: :obj:`None`)

    Raises:
        ValueError: An embedding has not one finite row for each cell.
    """
    path = None
    if cache is not None:
        told = {k: v for k, v in row.settings.items() if k != "unseen"}
        told["steps"] = getattr(row.method, "steps", None)
        text = json.dumps([told, data.hashes(), data.settings.to_dict(), seed, without], sort_keys=True)
        path = cache / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.pickle"
        if path.exists():
            return pickle.loads(path.read_bytes())
    if row.base is None:
        before = time.perf_counter()
        x = row.method.embed(data, seed, without)
        out = Embedding(x, time.perf_counter() - before)
        out.info = dict(getattr(row.method, "info", None) or {})
    else:
        out = embed(row.base, data, seed, without, cache)
        before = time.perf_counter()
        out.x = row.method.beside(data, out.x)
        out.seconds += time.perf_counter() - before
    check_embedding(out.x, data)
    peaks = [value for value in (out.peak_mib, peak()) if value is not None]
    out.peak_mib = max(peaks, default=None)
    if path is not None:
        write_atomically(path, lambda part: part.write_bytes(pickle.dumps(out)))
    return out


def check_embedding(x: list[np.ndarray], data: BenchmarkData):
    r"""Raises if an embedding has not one finite row for each cell of each slice."""
    for item, part, (_, rows) in zip(data.slices, x, data.rows, strict=True):
        if part.ndim != 2 or len(part) != len(rows) or not np.isfinite(part).all():
            raise ValueError(
                f"The embedding of slice '{item.name}' has shape {part.shape} for {len(rows)} cells, or "
                f"numbers that are not finite"
            )


def peak(reset: bool = False) -> float | None:
    r"""The most MiB that this process has held, from the last reset on; :obj:`None` where the system
    does not tell."""
    try:
        return high_water(reset=reset)
    except (OSError, AttributeError, TypeError):  # Not Linux, or not allowed.
        gc.collect()
        return None
