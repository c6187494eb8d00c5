import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from stofm_pyg.data.readers.damage import damage_named, unreadable
from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.tables import first_column, table_chunks

# Between spots that capture RNA.
PITCH = 0.5
USUAL_BIN = 25.0
COUNTS = ("MIDCount", "MIDCounts", "UMICount", "UMICounts")
CELLS = ("CellID", "cell", "label", "cell_label")
GENES = ("geneName", "geneID", "gene")


class Records(NamedTuple):
    r"""Some counts of genes at spots :math:`(N)`; :obj:`cell` is 0 where there is none."""

    gene: np.ndarray
    x: np.ndarray
    y: np.ndarray
    count: np.ndarray
    cell: np.ndarray | None


def read_stereo_seq(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads a file of spots (GEM, text, or GEF, HDF5) into square bins, or into cells where the file
    says which spots are of which.

    Raises:
        ValueError: The file is truncated or damaged, or bins are no multiple of the pitch of spots.
    """
    path = files["counts"]
    names: dict[str, int] = {}
    records = list(_read_gef(path, names) if path.suffix == ".gef" else _read_gem(path, names))
    gene, x, y, count = (np.concatenate(values) for values in list(zip(*records, strict=True))[:4])
    in_cells = records[0].cell is not None and options.bin_size is None
    if in_cells:
        cell = np.concatenate([record.cell for record in records])
        inside = cell > 0
        gene, x, y, count, cell = gene[inside], x[inside], y[inside], count[inside], cell[inside]
        note = f"{int((~inside).sum()):,} of {len(inside):,} records in no cell left out"
    else:
        side = _spots_of_bin(USUAL_BIN if options.bin_size is None else options.bin_size)
        cell = ((x // side).astype(np.int64) << 32) + y // side
        note = f"bins of {side * PITCH:g} microns (bin {side})"
    unique, number = np.unique(cell, return_inverse=True)
    shape = (len(unique), len(names))
    counts = sparse.csr_matrix((count.astype(np.float32), (number, gene)), shape=shape)
    if in_cells:
        spots = np.bincount(number)
        table = pd.DataFrame({"x": np.bincount(number, x) / spots, "y": np.bincount(number, y) / spots})
        table.index = unique.astype(str)
    else:
        row = ((unique + 2**31) & (2**32 - 1)) - 2**31
        column = (unique - row) >> 32
        # The spots of a bin are side - 1 pitches apart at most: its centre is that of them.
        table = pd.DataFrame({"x": column * side + (side - 1) / 2, "y": row * side + (side - 1) / 2})
        table.index = [f"{a}_{b}" for a, b in zip(column * side, row * side, strict=True)]
    genes = pd.DataFrame(index=pd.Index(list(names), dtype=object))
    return Tissue(
        counts, table.index, genes, table, ("x", "y"), scale=PITCH, notes=[note], files=(path, path)
    )


def _spots_of_bin(microns: float) -> int:
    side = round(microns / PITCH)
    if side < 1 or abs(side * PITCH - microns) > 1e-6:
        raise ValueError(f"'bin_size' must be a multiple of {PITCH} microns here (got {microns:g})")
    return side


def _read_gem(path: Path, names: dict[str, int]) -> Iterator[Records]:
    with damage_named(path, "GEM file"):
        found = False
        for chunk in table_chunks(path):
            found = True
            gene = chunk[first_column(chunk, GENES, path)]
            columns = ["x", "y", first_column(chunk, COUNTS, path)]
            cell = next((name for name in CELLS if name in chunk.columns), None)
            columns += [] if cell is None else [cell]
            for name in columns:
                first_column(chunk, [name], path)
            cut = chunk[columns].isna().any(axis=1) | gene.isna()
            if cut.any():
                raise unreadable(path, f"record {cut.idxmax() + 1} is cut short", "GEM file")
            codes, known = pd.factorize(gene.astype(str))
            number = [names.setdefault(name, len(names)) for name in known]
            number = np.array(number, dtype=np.int32)[codes]
            values = [chunk[name].to_numpy(np.int32) for name in columns]
            yield Records(number, *values[:3], values[3] if cell is not None else None)
        if not found:
            raise unreadable(path, "it has no records", "GEM file")


def _read_gef(path: Path, names: dict[str, int]) -> Iterator[Records]:
    with damage_named(path, "GEF file"), h5py.File(path, "r") as file:
        if "geneExp/bin1/expression" not in file:
            raise unreadable(path, "it has no 'geneExp/bin1/expression'", "GEF file of square bins")
        group = file["geneExp/bin1"]
        spots, genes = group["expression"][:], group["gene"][:]
        name = next(name for name in GENES if name in genes.dtype.names)
        texts = [value.decode() if isinstance(value, bytes) else value for value in genes[name]]
        number = np.array([names.setdefault(text, len(names)) for text in texts], dtype=np.int32)
        gene = np.repeat(number, genes["count"])
        if len(gene) != len(spots):
            raise unreadable(path, f"{len(gene)} counts of genes, {len(spots)} of spots", "GEF file")
        yield Records(gene, *(spots[name].astype(np.int32) for name in ("x", "y", "count")), None)


def is_gem(path: Path) -> bool:
    r"""Whether a file of text begins as those of Stereo-seq."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    columns = line.split()
                    return {"x", "y"} <= set(columns) and bool(set(COUNTS) & set(columns))
    except (OSError, EOFError, UnicodeDecodeError):
        pass
    return False


STEREO_SEQ = Format(
    "Stereo-seq",
    (Part("counts", ("*.tissue.gem.gz", "*.tissue.gem", "*.tissue.gef", "*.gem.gz", "*.gem", "*.gef")),),
    read_stereo_seq,
    options=("bin_size",),
)
