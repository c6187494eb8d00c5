r"""Prints what slices are like: sizes, counts, graph, and how much lies in where a cell is."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from scipy import sparse

from stofm_pyg.commands.slice_options import add_where, given_where, slice_files
from stofm_pyg.data import Keys, SliceSettings, validate_counts
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.positions import check_spread, get_positions
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.datasets import generate_tissue
from stofm_pyg.models import tissue_signal

LABELS = ("domain", "cell_type")
# Rows of the table that each slice has: the key, how it is called, and how it is written.
OF_A_SLICE = (
    ("cells", "cells", ",.0f"),
    ("library_size", "counts per cell, median", ",.0f"),
    ("zeros", "share of zeros", ".3f"),
    ("genes_per_cell", "genes per cell, median", ",.0f"),
    ("spacing", "spacing, in the file's unit", ".4g"),
    ("degree", "neighbours in the radius, mean", ".1f"),
    ("isolated", "cells without one", ",.0f"),
    ("subpatches", "subpatches", ",.0f"),
)
MAX_COLUMNS, WIDTH = 8, 32


def add_arguments(parser: argparse.ArgumentParser):
    r"""Adds the arguments of the command."""
    default = SliceSettings()
    add = parser.add_argument
    add("slices", nargs="*", metavar="FILE.h5ad", help="h5ad files of raw counts, or folders of them; "
        "all together are one tissue")  # fmt: skip
    add("--generated", action="store_true", help="generated tissue in the place of files")
    add("--label", action="append", metavar="NAME", help="a column of obs with classes; may be given "
        f"again ({' and '.join(LABELS)}, where there are such)")  # fmt: skip
    add("--json", action="store_true", help="print JSON")
    add_where(parser)
    add("--radius", type=float, default=default.radius, help="of the graph, in spacings of cells")
    add("--cells-per-part", type=int, default=default.cells_per_part, help="cells of a subpatch")
    add("--seed", type=int, default=0, help="of generated tissue and of the components")


def run(args: argparse.Namespace) -> int:
    r"""Runs the command."""
    if bool(args.slices) == args.generated:
        raise ValueError("Name h5ad files, or pass --generated; one of the two")
    settings = SliceSettings(
        radius=args.radius, cells_per_part=args.cells_per_part, seed=args.seed, **given_where(args)
    )
    sources = [generate_tissue(seed=args.seed)] if args.generated else slice_files(args.slices)
    report = describe(sources, settings, args.label)
    print(json.dumps(plain(report), indent=1) if args.json else table(report))
    return 0


def describe(
    sources: Sequence[Any], settings: SliceSettings, labels: Sequence[str] | None = None
) -> dict[str, Any]:
    r"""Returns the measures of the slices of all sources, taken together over the genes that all have.

    Args:
        sources (sequence): The h5ad files, or AnnData.
        settings (SliceSettings): Where things are found, the radius, and the cells of a subpatch.
        labels (sequence of str, optional): The columns with classes. If :obj:`None`, those of
            :obj:`LABELS` that there are. (default: :obj:`None`)

    Raises:
        ValueError: A source cannot be read, or sources have no gene in common.
    """
    names, parts, tables = [], [], []
    for source in sources:
        reader = SliceReader(source, settings, required=settings.slice_key != Keys.SLICE)
        obs = source.obs if isinstance(source, AnnData) else _obs(source)
        for name, rows in reader.rows.items():
            names.append(name or getattr(source, "stem", "slice"))
            parts.append(reader.read(name))
            tables.append(obs.iloc[rows])
    genes = parts[0].var_names
    for part in parts:
        genes = genes[genes.isin(part.var_names)]
    if len(genes) == 0:
        raise ValueError("The files have no gene in common; inspect one after another")
    counts = [part.X[:, part.var_names.get_indexer(genes)] for part in parts]
    positions = [get_positions(part, settings.spatial_key) for part in parts]
    raw, seen = are_counts(counts)
    out = {
        "genes": len(genes),
        "raw_counts": raw,
        "seen": seen,
        "radius": settings.radius,
        "slices": [
            {"name": name, **describe_slice(x, pos, settings, raw, name)}
            for name, x, pos in zip(names, counts, positions, strict=True)
        ],
    }
    if raw:
        components = tissue_signal.slice_components(counts, settings.num_features, settings.seed)
        features = tissue_signal.spatial_features(components, positions)
        out["moran"] = tissue_signal.moran(components, positions)[:5].tolist()
        out["ring_prediction"] = tissue_signal.ring_prediction(features, positions)
        halves = "each half of the slice, cut across its length"
        out["predicted_on"] = halves if len(parts) == 1 else "each slice left out in turn"
    if labels is None:
        labels = [label for label in LABELS if any(label in obs for obs in tables)]
    out["labels"] = {}
    for label in labels:
        codes, classes = classes_of(tables, label)
        number = np.bincount(np.concatenate(codes) + 1, minlength=len(classes) + 1)
        out["labels"][label] = {
            "share_between": tissue_signal.share_between(features, codes) if raw else None,
            "unlabelled": int(number[0]),
            "cells": {name: int(n) for name, n in zip(classes, number[1:], strict=True) if n > 0},
        }
    return out


def are_counts(counts: Sequence[sparse.csr_matrix]) -> tuple[bool, str]:
    r"""Whether matrices are raw counts, and how that was seen, in words.

    Args:
        counts (sequence of csr_matrix): The matrix of each slice :math:`(N_i, G)`.
    """
    for matrix in counts:
        try:
            validate_counts(matrix)
        except ValueError as error:
            return False, str(error).partition("found ")[2].partition(". Pass")[0]
    return True, "all values are whole and none is negative"


def describe_slice(
    counts: sparse.csr_matrix, pos: np.ndarray, settings: SliceSettings, raw: bool, name: str = ""
) -> dict[str, float]:
    r"""Returns the measures of one slice.

    Args:
        counts (csr_matrix): Its matrix :math:`(N, G)`.
        pos (np.ndarray): Its positions :math:`(N, 2)`.
        settings (SliceSettings): The radius, and the cells of a subpatch.
        raw (bool): Whether the matrix holds counts.
        name (str, optional): Its name, for errors. (default: :obj:`""`)

    Raises:
        ValueError: It has not two cells at different positions.
    """
    check_spread(pos, name)
    degree = tissue_signal.degrees(pos, settings.radius)
    return {
        "cells": len(pos),
        "library_size": float(np.median(tissue_signal.library_sizes(counts))) if raw else None,
        "zeros": tissue_signal.share_of_zeros(counts),
        "genes_per_cell": float(np.median(tissue_signal.genes_per_cell(counts))),
        "spacing": tissue_signal.spacing(pos),
        "degree": float(degree.mean()),
        "isolated": int((degree == 0).sum()),
        "subpatches": max(1, round(len(pos) / settings.cells_per_part)),
    }


def classes_of(tables: Sequence[pd.DataFrame], label: str) -> tuple[list[np.ndarray], list[str]]:
    r"""The class of each cell of each slice :math:`(N_i)`, -1 where unknown, with the same numbers in
    all slices, and the names of the classes. A slice without the column has unknown ones only.

    Args:
        tables (sequence of DataFrame): One row per cell of each slice.
        label (str): The column.

    Raises:
        ValueError: No slice has the column, or it holds measurements.
    """
    codes, names = [], []
    has_it = any(label in obs for obs in tables)
    for obs in tables:
        if has_it and label not in obs:
            codes.append(np.full(len(obs), -1))
            continue
        found, classes = encode_labels(obs, label)
        names += [name for name in classes[label] if name not in names]
        number = np.array([*map(names.index, classes[label]), -1])
        codes.append(number[found[label]])
    return codes, names


def table(report: Mapping[str, Any]) -> str:
    r"""The measures as text."""
    slices = report["slices"]
    raw = "yes" if report["raw_counts"] else "no"
    lines = [
        _row("slices", f"{len(slices):,}"),
        _row("genes", f"{report['genes']:,}"),
        _row("raw counts", f"{raw}: {report['seen']}"),
    ]
    if "moran" in report:
        lines += [
            _row("Moran's I, best components", "  ".join(f"{value:.2f}" for value in report["moran"])),
            _row("share predicted from rings", f"{report['ring_prediction']:.3f}"),
            _row("", f"({report['predicted_on']})"),
        ]
    else:
        lines.append("Pass --layer with the layer of the raw counts; the rest needs them.")
    for label, known in report["labels"].items():
        number = list(known["cells"].values()) or [0]
        share = known["share_between"]
        share = "-" if share is None else f"{share:.3f}"
        lines += [
            _row(f"{label}: variance between", share),
            _row(f"{label}: cells of a class", f"{min(number):,} to {max(number):,} in "
                 f"{len(known['cells'])} classes; {known['unlabelled']:,} unlabelled"),
        ]  # fmt: skip
    lines += [_row("radius", f"{report['radius']:g} spacings"), ""]
    for start in range(0, len(slices), MAX_COLUMNS):
        part = slices[start : start + MAX_COLUMNS]
        widths = [max(9, len(one["name"])) for one in part]
        lines.append(_columns("slice", [one["name"] for one in part], widths))
        for key, called, form in OF_A_SLICE:
            values = ["-" if one[key] is None else format(one[key], form) for one in part]
            lines.append(_columns(called, values, widths))
        lines.append("")
    return "\n".join(lines).rstrip()


def plain(value: Any) -> Any:
    r"""The measures as JSON knows them: what is no number is :obj:`None`."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(name: str, text: str) -> str:
    return f"{name:{WIDTH}s}{text}"


def _columns(name: str, values: Sequence[str], widths: Sequence[int]) -> str:
    return _row(name, "  ".join(f"{v:>{w}s}" for v, w in zip(values, widths, strict=True)))


def _obs(path) -> pd.DataFrame:
    with h5py.File(path, "r") as file:  # The reader has said by now what is wrong with it.
        return read_elem(file["obs"])
