from pathlib import Path

import numpy as np
import pandas as pd

from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.tables import (
    first_column,
    numbers,
    read_counts,
    read_header,
    read_table,
    whole_rows,
)

# Of the instrument that is sold, where the export does not tell; the first data sets had larger ones.
MICRONS_PER_PIXEL = 0.120280945
KEYS = ("fov", "cell_ID")


def read_cosmx(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads the cells of the flat files of CosMx; a cell is called by its field of view and its number
    there. What lies in no cell (number 0) is left out."""
    header = read_header(files["counts"])
    for name in KEYS:
        first_column(pd.DataFrame(columns=header), [name], files["counts"])
    # Some versions name each cell once more, and the slide.
    num_names = max(header.index(name) for name in (*KEYS, "cell", "slide_ID") if name in header) + 1
    names, counts, genes = read_counts(files["counts"], num_names)
    path = files["positions"]
    table = read_table(path, text=KEYS)
    position = ("CenterX_global_px", "CenterY_global_px")
    for name in (*KEYS, *position):
        first_column(table, [name], path)
    table = numbers(whole_rows(table, KEYS, path), position, path)
    table.index = _cell_names(table)
    known = pixel_size(path)
    tissue = Tissue(
        counts,
        _cell_names(names),
        pd.DataFrame(index=genes),
        table.drop(columns=list(KEYS[1:])),
        position,
        scale=MICRONS_PER_PIXEL if known is None else known,
        files=(files["counts"], path),
    )
    tissue.keep((names["cell_ID"] != "0").to_numpy(), "rows of no cell")
    tissue.tell_missing("cells without a row of counts")
    told = "taken for granted" if known is None else "of the positions of fields"
    tissue.notes.append(f"pixels of {tissue.scale:.6g} microns, {told}")
    return tissue


def pixel_size(path: Path) -> float | None:
    r"""Returns the size of a pixel in microns, where the file of the fields of view beside another gives
    their positions in pixels and in millimetres.

    Args:
        path (Path): The other file.
    """
    found = sorted(path.parent.glob("*fov_positions_file.csv*"))
    if not found:
        return None
    table = read_table(found[0]).rename(columns=str.lower)
    lengths = {}
    for unit in ("px", "mm"):
        columns = [f"{axis}_global_{unit}" for axis in "xy"]
        if not set(columns) <= set(table.columns):
            return None
        values = table[columns].to_numpy(np.float64)
        lengths[unit] = float(np.linalg.norm(values - values.mean(axis=0)))
    if lengths["px"] == 0 or not lengths["mm"] > 0:
        return None
    return 1000 * lengths["mm"] / lengths["px"]


def _cell_names(table: pd.DataFrame) -> pd.Index:
    return pd.Index(table["fov"].astype(str) + "_" + table["cell_ID"].astype(str), dtype=object)


COSMX = Format(
    "CosMx",
    (
        Part("counts", ("*exprMat_file.csv", "*exprMat_file.csv.gz")),
        Part("positions", ("*metadata_file.csv", "*metadata_file.csv.gz")),
    ),
    read_cosmx,
)
