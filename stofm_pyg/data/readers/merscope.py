from pathlib import Path

import pandas as pd

from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.tables import first_column, numbers, read_counts, read_table, whole_rows


def read_merscope(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads the cells of a MERSCOPE folder, of which positions are in microns."""
    names, counts, genes = read_counts(files["counts"])
    path = files["positions"]
    table = read_table(path, text=[0, "EntityID"])
    position = ("center_x", "center_y")
    for name in position:
        first_column(table, [name], path)
    cell = "EntityID" if "EntityID" in table.columns else table.columns[0]
    table = numbers(whole_rows(table, (cell,), path), position, path).set_index(cell)
    tissue = Tissue(
        counts,
        pd.Index(names.iloc[:, 0], dtype=object),
        pd.DataFrame(index=genes),
        table,
        position,
        scale=1.0,
        files=(files["counts"], path),
    )
    tissue.tell_missing("cells without a row of counts")
    return tissue


MERSCOPE = Format(
    "MERSCOPE",
    (
        Part("counts", ("cell_by_gene.csv", "*cell_by_gene*.csv", "*cell_by_gene*.csv.gz")),
        Part("positions", ("cell_metadata.csv", "*cell_metadata*.csv", "*cell_metadata*.csv.gz",
                           "*cell_metadata*.parquet")),
    ),
    read_merscope,
)  # fmt: skip
