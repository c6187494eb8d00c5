r"""What a source of slices holds and what would be used of it, without any training."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stofm_pyg.commands.counts_seen import are_counts
from stofm_pyg.commands.describe_genes import describe_genes, match_genes
from stofm_pyg.commands.describe_slice import describe_slice
from stofm_pyg.commands.glimpse import Glimpse, glimpse
from stofm_pyg.data import GeneVocab, Keys, SliceSettings
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models import tissue_signal

# Columns of more values are no classes.
MOST_CLASSES = 100


def describe_source(
    source: AnnData | str | os.PathLike,
    settings: SliceSettings,
    vocab: GeneVocab | None = None,
    name: str = "slice",
) -> dict[str, Any]:
    r"""Returns what a source holds and what would be used of it, as plain values.

    Args:
        source (AnnData or str or PathLike): The AnnData, or the file or folder.
        settings (SliceSettings): How slices would be made.
        vocab (GeneVocab, optional): The vocabulary that genes are matched to. (default: :obj:`None`)
        name (str, optional): What the source is called, and a slice without a name.
            (default: :obj:`"slice"`)

    Raises:
        ValueError: It cannot be read, or has no positions.
    """
    with _warnings() as warnings:
        seen = glimpse(source, settings.spatial_key, settings.layer)
        counts = _counts(seen, settings.layer, warnings)
        where = counts["where"] or next(iter(seen.values), "X")
        sample = AnnData(seen.values.get(where), var=seen.genes[where])
        reader = SliceReader(seen.cells, settings, required=settings.slice_key != Keys.SLICE)
        pos = get_positions(seen.cells, settings.spatial_key, list(reader.rows.values()))
        unit = seen.cells.uns.get(Keys.UNIT)
        described = {
            "name": name,
            "path": None if isinstance(source, AnnData) else str(source),
            "format": seen.format,
            "cells": seen.cells.n_obs,
            "genes": sample.n_vars,
            "counts": counts,
            "gene_names": describe_genes(sample.var, warnings),
            "vocabulary": None if vocab is None else match_genes(sample, vocab, settings, warnings),
            "labels": _labels(seen.cells.obs, reader.settings.slice_key),
            "slice_key": reader.settings.slice_key,
            "unit_of_file": unit,
            "slices": [
                describe_slice(part or name, pos[rows], settings, unit, warnings)
                for part, rows in reader.rows.items()
            ],
        }
    return {**described, "warnings": warnings}


@contextmanager
def _warnings() -> Iterator[list[str]]:
    # What the library warns of goes into the report.
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord):
            kept.append(record.getMessage())

    kept: list[str] = []
    logger, handler = logging.getLogger("stofm_pyg"), Keep(logging.WARNING)
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield kept
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _counts(seen: Glimpse, layer: str | None, warnings: list[str]) -> dict[str, Any]:
    if layer is not None and not seen.values:
        known = [key[8:-2] for key in seen.genes if key.startswith("layers[")]
        raise unknown_key(layer, "adata.layers", known)
    used = "X" if layer is None else f"layers[{layer!r}]"
    told = {key: are_counts([matrix]) for key, matrix in seen.values.items()}
    found = [key for key, (raw, _) in told.items() if raw]
    raw, words = told.get(used, (False, "it is empty"))
    others = [key for key in found if key != used]
    if not raw and others:
        key = others[0]
        mend = (
            "convert the file by 'stofm convert --raw'" if key == "raw" else f"pass --layer {key[8:-2]}"
        )
        warnings.append(f"{used} holds no counts, but {key} does: {mend}")
    elif not raw:
        warnings.append(f"{used} holds no counts ({words}); only --features KEY of obsm can be used")
    matrix = seen.values[used] if raw else None
    if matrix is not None and matrix.data.size > 0 and matrix.data.max() == 1:
        warnings.append(f"No value in {used} is above 1: these may be no counts")
    return {
        "raw": raw,
        "where": used if used in seen.values else None,
        "seen": words,
        "also_in": others,
        "cells_looked_at": len(seen.rows),
        "per_cell": None if matrix is None else float(np.median(tissue_signal.library_sizes(matrix))),
        "genes_per_cell": None
        if matrix is None
        else float(np.median(tissue_signal.genes_per_cell(matrix))),
        "values_per_cell": None if matrix is None else matrix.nnz / max(1, matrix.shape[0]),
    }


def _labels(obs: pd.DataFrame, slice_key: str | None) -> dict[str, dict[str, int]]:
    # Columns of so few values that they may be classes.
    found = {}
    for column in obs:
        if column == slice_key or (
            pd.api.types.is_float_dtype(obs[column]) and obs[column].nunique() > 50
        ):
            continue
        try:
            codes, classes = encode_labels(obs, column, log=False)
        except ValueError:
            continue
        number = len(np.unique(codes[column][codes[column] >= 0]))
        if 2 <= number <= min(MOST_CLASSES, len(obs) // 2) and len(classes[column]) >= number:
            found[str(column)] = {"classes": number, "unlabelled": int((codes[column] < 0).sum())}
    return found
