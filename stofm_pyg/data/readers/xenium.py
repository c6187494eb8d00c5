from importlib.util import find_spec
from pathlib import Path

from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.tables import first_column, numbers, read_table
from stofm_pyg.data.readers.tenx import read_tenx

TEXT = ("cells.csv.gz", "cells.csv")


def read_xenium(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads the cells of a Xenium folder, of which positions are in microns."""
    counts, barcodes, genes = read_tenx(files["counts"])
    path = files["positions"]
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:  # The same table is there as text.
        path = next((path.with_name(name) for name in TEXT if path.with_name(name).is_file()), path)
    table = read_table(path, text=["cell_id"])
    names = table.pop(first_column(table, ["cell_id"], path))
    # Parquet of early versions holds bytes.
    table.index = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    position = ("x_centroid", "y_centroid")
    for name in position:
        first_column(table, [name], path)
    table = numbers(table, position, path)
    return Tissue(
        counts, barcodes, genes, table, position, scale=1.0, files=(files["counts"], path)
    )


XENIUM = Format(
    "Xenium",
    (
        Part("counts", ("cell_feature_matrix.h5", "*cell_feature_matrix.h5",
                        "cell_feature_matrix/matrix.mtx*")),
        Part("positions", ("cells.parquet", *TEXT, "*cells.parquet", "*cells.csv.gz", "*cells.csv")),
    ),
    read_xenium,
)  # fmt: skip
