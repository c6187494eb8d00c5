import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from stofm_pyg.data.readers.damage import damage_named
from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.tables import first_column, numbers, read_table, whole_rows
from stofm_pyg.data.readers.tenx import read_tenx

COUNTS = Part(
    "counts",
    (
        "filtered_feature_bc_matrix.h5",
        "*filtered_feature_bc_matrix.h5",
        "filtered_feature_bc_matrix/matrix.mtx*",
        "raw_feature_bc_matrix.h5",
        "raw_feature_bc_matrix/matrix.mtx*",
    ),
)
POSITIONS = Part(
    "positions",
    tuple(f"spatial/*tissue_positions{end}" for end in (".csv", "_list.csv", ".parquet", ".csv.gz")),
)
WITHOUT_HEADER = (
    "barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres",
)  # fmt: skip
X, Y = "pxl_col_in_fullres", "pxl_row_in_fullres"
# Between the centres of neighbouring spots, on every slide of Visium. (The diameter of a spot in
# 'scalefactors_json.json' is of no use: 55 microns to some, 65 to others.)
MICRONS_BETWEEN_SPOTS = 100.0
# How far spots may lie from a lattice that they are to give a length to.
LATTICE_TOLERANCE = 0.1


def read_visium(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads the spots of Visium, or the bins of Visium HD, that are in tissue."""
    counts, barcodes, genes = read_tenx(files["counts"])
    table = read_positions(files["positions"])
    known = microns_per_pixel(files["positions"].parent)
    tissue = Tissue(
        counts,
        barcodes,
        genes,
        table.drop(columns="in_tissue"),
        (X, Y),
        scale=lattice_scale(table) if known is None else known,
        unit="pixel",
        files=(files["counts"], files["positions"]),
    )
    inside = table["in_tissue"][~table.index.duplicated()].reindex(barcodes).fillna(1).to_numpy() == 1
    tissue.keep(inside, "places outside of the tissue")
    return tissue


def read_positions(path: Path) -> pd.DataFrame:
    r"""Reads the places on a slide by their barcodes, from a file with a header or without."""
    table = read_table(path, text=[0])
    if "barcode" not in table.columns and path.suffix != ".parquet":
        table = read_table(path, text=[0], header=False)
        if len(table.columns) != len(WITHOUT_HEADER):
            first_column(table, ["barcode"], path)
        table.columns = WITHOUT_HEADER
    for name in WITHOUT_HEADER:
        first_column(table, [name], path)
    table = whole_rows(table, WITHOUT_HEADER, path)
    return numbers(table, WITHOUT_HEADER[1:], path).set_index("barcode")


def microns_per_pixel(folder: Path) -> float | None:
    r"""Returns the size of a pixel that is in the file of scale factors, if it is there."""
    path = next(iter(sorted(folder.glob("*scalefactors_json.json"))), None)
    if path is None:
        return None
    with damage_named(path, "JSON file"):
        value = json.loads(path.read_text(encoding="utf-8")).get("microns_per_pixel")
    return None if value is None else float(value)


def lattice_scale(table: pd.DataFrame) -> float | None:
    r"""Returns the size of a pixel in microns that follows from the lattice of spots, of which
    neighbours are 100 microns apart; :obj:`None` where they lie on none.

    Args:
        table (DataFrame): All places of the slide, in tissue or not.
    """
    # In a row every other column has a spot, and rows are as far apart as in a triangle.
    lattice = table[["array_col", "array_row"]].to_numpy(np.float64)
    lattice = (lattice - lattice.mean(axis=0)) * [0.5, math.sqrt(0.75)] * MICRONS_BETWEEN_SPOTS
    pixels = table[[X, Y]].to_numpy(np.float64)
    pixels = pixels - pixels.mean(axis=0)
    affine, _, rank, _ = np.linalg.lstsq(lattice, pixels, rcond=None)
    area = abs(np.linalg.det(affine))
    if rank < 2 or area == 0:
        return None
    scale = 1 / math.sqrt(area)
    error = np.sqrt(np.square(pixels - lattice @ affine).sum(axis=1).mean()) * scale
    return scale if error < LATTICE_TOLERANCE * MICRONS_BETWEEN_SPOTS else None


VISIUM = Format("Visium", (COUNTS, POSITIONS), read_visium)
