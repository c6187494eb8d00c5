from pathlib import Path

import pandas as pd

from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.tables import first_column, numbers, read_counts, read_table, whole_rows


def read_slide_seq(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads the beads of Slide-seq: a matrix of genes by beads, and their positions, of which no file
    tells the unit."""
    names, by_gene, beads = read_counts(files["counts"])
    path = files["positions"]
    table = read_table(path, text=[0])
    # The first line may be a bead already.
    if not {"barcode", "barcodes"} & set(table.columns):
        table = read_table(path, text=[0], header=False)
        if len(table.columns) != 3:
            first_column(table, ["barcodes", "barcode"], path)
        table.columns = ["barcodes", "xcoord", "ycoord"]
    bead = first_column(table, ["barcodes", "barcode"], path)
    position = (first_column(table, ["xcoord", "x"], path), first_column(table, ["ycoord", "y"], path))
    table = numbers(whole_rows(table, (bead,), path), position, path).set_index(bead)
    tissue = Tissue(
        by_gene.T.tocsr(),
        pd.Index(beads, dtype=object),
        pd.DataFrame(index=pd.Index(names.iloc[:, 0], dtype=object)),
        table,
        position,
        files=(files["counts"], path),
    )
    tissue.tell_missing("beads without counts")
    return tissue


SLIDE_SEQ = Format(
    "Slide-seq",
    (
        Part("counts", ("*digital_expression*", "*MappedDGEForR.csv*")),
        Part("positions", ("*bead_locations*.csv*", "*BeadLocations*.csv*", "*bead_locations*.txt*")),
    ),
    read_slide_seq,
)
