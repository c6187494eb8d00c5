import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import BenchmarkData
from benchmarks.embedding import embed, peak
from benchmarks.rows import Row, make_rows
from stofm_pyg.data import SliceSettings


class Task:
    r"""A question that methods are compared by: it prepares data, runs a row with a seed, and draws.

    The runner calls :meth:`prepare` once, then :meth:`rows`, then for each row and seed
    :meth:`run_row` and, for the first seed, :meth:`draw`. With several processes each has a task of
    its own.

    Args:
        args (Namespace): The options of the command line.
    """

    #: Its name, on the command line and in files.
    name: str
    #: The metrics of a slice. The first one decides and is the better the higher.
    metrics: tuple[str, ...]
    #: The metrics of which lower is better.
    lower: tuple[str, ...] = ()
    #: The column of labels where none is named; :obj:`None` for a task that needs none.
    default_label: str | None = None
    #: Whether labelled cells are divided, so that :obj:`--split` and :obj:`--unseen` have a meaning.
    has_splits = False
    #: Whether the task itself draws from the seed, so that every row is run with each.
    draws = False

    def __init__(self, args: Namespace):
        self.args = args
        self.label = getattr(args, "label", None) or self.default_label
        self.data: BenchmarkData | None = None

    @classmethod
    def add_arguments(cls, group: argparse._ArgumentGroup):
        r"""Adds options that only this task has."""

    def prepare(self):
        r"""Reads the data, and refuses what the task cannot be run on before any work.

        Raises:
            ValueError: The data or an option does not suit the task; the message says how to mend it.
        """
        self.data = self.read_data()

    def read_data(self) -> BenchmarkData:
        r"""The slices that the command line names, or generated tissue."""
        args = self.args
        return BenchmarkData(
            args.data, self.label, self.slice_settings(), args.preset, args.missing_genes
        )

    def slice_settings(self) -> SliceSettings:
        r"""How slices are made."""
        args = self.args
        return SliceSettings(slice_key=args.slice_key, layer=args.layer, seed=args.seed)

    def rows(self) -> dict[str, Row]:
        r"""The rows by name; a task may add some of its own, or take others."""
        return make_rows(self.args)

    def settings(self) -> dict[str, Any]:
        r"""Plain values that decide the numbers of all rows, kept in the results."""
        return {}

    def notes(self) -> str:
        r"""What stands below the table: how the numbers came about."""
        return ""

    def run_row(self, row: Row, seed: int) -> dict[str, Any]:
        r"""Runs a row with a seed.

        Args:
            row (Row): The row.
            seed (int): The seed of the method and of the task.

        Returns:
            :obj:`scores`, the metrics of each slice by its name; :obj:`seconds` by part;
            :obj:`peak_mib`; :obj:`info`, what the method says of itself; :obj:`extras`, plain values
            that are kept as well; and :obj:`drawn`, whatever :meth:`draw` needs.
        """
        raise NotImplementedError

    def draw(self, name: str, result: dict[str, Any], folder: Path):
        r"""Draws the pictures of a row, into files that begin with a name.

        Args:
            name (str): What the files begin with.
            result (dict): What :meth:`run_row` gave.
            folder (Path): An existing folder.
        """

    def embed(self, row: Row, seed: int, result: dict[str, Any], without: int | None = None):
        r"""The embedding of the cells of each slice by a row, see :meth:`benchmarks.embedding.embed`;
        adds its seconds, memory and what the method says to a result."""
        made = embed(row, self.data, seed, without, getattr(self.args, "cache", None))
        seconds = result.setdefault("seconds", {})
        seconds["embed"] = seconds.get("embed", 0.0) + made.seconds
        peaks = [value for value in (result.get("peak_mib"), made.peak_mib) if value is not None]
        result["peak_mib"] = max(peaks, default=None)
        result["info"] = made.info
        return made.x

    def one_run(self, row: Row, seed: int) -> dict[str, Any]:
        r"""Runs a row, and checks and completes what it gave."""
        peak(reset=True)
        result = {"seconds": {}, "info": {}, "extras": {}} | self.run_row(row, seed)
        peaks = [value for value in (result.get("peak_mib"), peak()) if value is not None]
        result["peak_mib"] = max(peaks, default=None)
        if not result.get("scores"):
            raise ValueError(f"No slice has anything to score in task '{self.name}'")
        for scores in result["scores"].values():
            missing = [metric for metric in self.metrics if metric not in scores]
            if missing:
                raise ValueError(f"Task '{self.name}' gave no '{missing[0]}' but {sorted(scores)}")
        for metric in self.metrics:
            values = [scores[metric] for scores in result["scores"].values()]
            result[metric] = float(np.mean(values))
        return result
