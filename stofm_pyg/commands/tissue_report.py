r"""How much of the expression of cells lies in where they are, of slices together, as numbers and as
text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stofm_pyg.commands.counts_seen import are_counts
from stofm_pyg.commands.text_table import columns, row
from stofm_pyg.data import Keys, SliceSettings
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.positions import check_spread, get_positions
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models import tissue_signal

LABELS = ("domain", "cell_type")
# Rows of the table that each slice has: the key, how it is called, and how it is written.
OF_A_SLICE = (
    ("cells", "cells", ",.0f"),
    ("library_size", "counts per cell, median", ",.0f"),
    ("zeros", "share of zeros", ".3f"),
    ("genes_per_cell", "genes per cell, median", ",.0f"),
)


def tissue_report(
    sources: Mapping[str, AnnData], settings: SliceSettings, labels: Sequence[str] | None = None
) -> dict[str, Any]:
    r"""Returns the measures of the slices of all sources, taken together over the genes that all have.

    Args:
        sources (dict): The AnnData by name.
        settings (SliceSettings): Where things are found.
        labels (sequence of str, optional): The columns with classes. If :obj:`None`, those of
            :obj:`LABELS` that there are. (default: :obj:`None`)

    Raises:
        ValueError: A source cannot be read, or sources have no gene in common.
    """
    names, parts, tables = [], [], []
    for called, source in sources.items():
        reader = SliceReader(source, settings, required=settings.slice_key != Keys.SLICE)
        for name, rows in reader.rows.items():
            names.append(name or called)
            parts.append(reader.read(name))
            tables.append(source.obs.iloc[rows])
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
        "slices": [
            {"name": name, **counts_of_slice(x, pos, raw, name)}
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


def counts_of_slice(
    counts: sparse.csr_matrix, pos: np.ndarray, raw: bool, name: str = ""
) -> dict[str, float]:
    r"""Returns the measures of the counts of one slice.

    Args:
        counts (csr_matrix): Its matrix :math:`(N, G)`.
        pos (np.ndarray): Its positions :math:`(N, 2)`.
        raw (bool): Whether the matrix holds counts.
        name (str, optional): Its name, for errors. (default: :obj:`""`)

    Raises:
        ValueError: It has not two cells at different positions.
    """
    check_spread(pos, name)
    return {
        "cells": len(pos),
        "library_size": float(np.median(tissue_signal.library_sizes(counts))) if raw else None,
        "zeros": tissue_signal.share_of_zeros(counts),
        "genes_per_cell": float(np.median(tissue_signal.genes_per_cell(counts))),
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


def tissue_text(report: Mapping[str, Any]) -> str:
    r"""Writes a report of :meth:`tissue_report`."""
    slices = report["slices"]
    raw = "yes" if report["raw_counts"] else "no"
    lines = [
        row("slices", f"{len(slices):,}"),
        row("genes", f"{report['genes']:,}"),
        row("raw counts", f"{raw}: {report['seen']}"),
    ]
    if "moran" in report:
        lines += [
            row("Moran's I, best components", "  ".join(f"{value:.2f}" for value in report["moran"])),
            row("share predicted from rings", f"{report['ring_prediction']:.3f}"),
            row("", f"({report['predicted_on']})"),
        ]
    else:
        lines.append("Pass --layer with the layer of the raw counts; the rest needs them.")
    for label, known in report["labels"].items():
        number = list(known["cells"].values()) or [0]
        share = known["share_between"]
        share = "-" if share is None else f"{share:.3f}"
        lines += [
            row(f"{label}: variance between", share),
            row(f"{label}: cells of a class", f"{min(number):,} to {max(number):,} in "
                 f"{len(known['cells'])} classes; {known['unlabelled']:,} unlabelled"),
        ]  # fmt: skip
    lines.append("")
    return "\n".join(lines + columns(slices, OF_A_SLICE))
