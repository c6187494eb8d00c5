from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse


class Part(NamedTuple):
    r"""A file that a folder of a format has."""

    #: What it holds, as :obj:`"counts"`.
    name: str
    #: How it may be called, the best first.
    patterns: tuple[str, ...]

    def find(self, folder: Path) -> list[Path]:
        r"""Returns the files of the first pattern that some have."""
        for pattern in self.patterns:
            found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
            if found:
                return found
        return []


class Options(NamedTuple):
    r"""What a user may choose where a source holds several things, see :meth:`read`."""

    table: str | None = None
    bin_size: float | None = None


class Format(NamedTuple):
    r"""A format, how it is recognised, and what reads it."""

    name: str
    #: The files that tell a folder of it.
    parts: tuple[Part, ...]
    #: Takes where the parts are found, by their names, and the options.
    read: Callable[[dict[str, Path], Options], "Tissue"]
    #: Of :class:`Options`, which it knows.
    options: tuple[str, ...] = ()
    #: Of the parts, those of which there may be several in one sample.
    several: tuple[str, ...] = ()


@dataclass
class Tissue:
    r"""What a reader finds, before its parts are put together.

    Args:
        counts (csr_matrix): Counts :math:`(N, G)`.
        cells (pd.Index): The names of the cells :math:`(N)`.
        genes (DataFrame): The genes :math:`(G)`, by name. A column :obj:`control` tells those that are
            left out, with what they are called as its values, else empty.
        table (DataFrame): What is known of cells, by their names: those of :obj:`cells` and others.
        position (tuple[str, str]): The two columns of the table with positions.
        scale (float, optional): The length in microns of their unit, if it is known.
            (default: :obj:`None`)
        unit (str, optional): What the unit is called where its length is unknown.
            (default: :obj:`"unknown"`)
        notes (list of str, optional): What was left out or chosen. (default: :obj:`[]`)
        files (tuple[Path, Path], optional): Where counts and positions are from, for errors.
    """

    counts: sparse.csr_matrix
    cells: pd.Index
    genes: pd.DataFrame
    table: pd.DataFrame
    position: tuple[str, str]
    scale: float | None = None
    unit: str = "unknown"
    notes: list[str] = field(default_factory=list)
    files: tuple[Path | None, Path | None] = (None, None)

    def tell_missing(self, what: str):
        r"""Says how many rows of the table are of no cell.

        Args:
            what (str): What they are, in words.
        """
        number = int((~np.isin(self.table.index, self.cells)).sum())
        if number > 0:
            self.notes.append(f"{number:,} {what} left out")

    def keep(self, rows: np.ndarray, why: str):
        r"""Leaves out cells, and says so.

        Args:
            rows (np.ndarray): Which stay :math:`(N)`.
            why (str): What the others are, in words.
        """
        if not rows.all():
            self.notes.append(f"{int((~rows).sum()):,} {why} left out")
            self.counts, self.cells = self.counts[rows], self.cells[rows]
