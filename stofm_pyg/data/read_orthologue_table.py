import gzip
import os
from pathlib import Path

import pandas as pd

from stofm_pyg.data.read_pickled_dict import read_pickled_dict

MOUSE_ID, HUMAN_ID = r"ENSMUSG[0-9]+(?:\.[0-9]+)?", r"ENSG[0-9]+(?:\.[0-9]+)?"
# What BioMart and HCOP call the symbol of the mouse gene.
MOUSE_SYMBOL = "Gene name"


def read_orthologue_table(path: str | os.PathLike) -> list[tuple[str, str]]:
    r"""Returns pairs of mouse gene and human gene from a file, in its order.

    * :obj:`.pkl`: a pickled dictionary of mouse to human names, as SToFM's
      :obj:`mouseid2humanid.pkl`, read by :meth:`read_pickled_dict`.
    * :obj:`.csv`, :obj:`.tsv`, :obj:`.txt` (also :obj:`.gz`), separated by commas or tabs: columns
      of mouse and human Ensembl ids, found by their content wherever they stand, and of mouse
      symbols if the header calls it :obj:`"Gene name"`. Where there are no Ensembl ids of a
      species, the first column that is left is the mouse's and the next one the human's.

    Args:
        path (str or PathLike): The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such table.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file '{path}' (looked from '{Path.cwd()}'). 'orthologues=' takes the path "
            f"of a table of mouse genes and human genes."
        )
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".pkl", ".pickle")):
        return list(read_pickled_dict(path, str).items())
    if not name.endswith((".csv", ".tsv", ".txt")):
        raise ValueError(f"'{path}' is no table of orthologues: expected .pkl, .csv, .tsv or .txt.")
    try:
        table = _read_text(path)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"'{path}' cannot be read as a table of mouse genes and human genes: {error}"
        ) from error
    return _pairs(table)


def _read_text(path: Path) -> pd.DataFrame:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        first = file.readline()
        file.seek(0)
        separator = "\t" if "\t" in first else ","
        table = pd.read_csv(file, sep=separator, header=None, dtype=str, keep_default_na=False)
    if table.shape[1] < 2:
        raise ValueError(f"it has one column, without commas or tabs; its first line is {first!r}")
    return table.apply(lambda column: column.str.strip())


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    mouse, human = _column_of(table, MOUSE_ID), _column_of(table, HUMAN_ID)
    keep = pd.Series(True, index=table.index)
    header = table.iloc[0]
    if mouse is not None:  # This leaves out a header as well.
        keep &= table[mouse].str.fullmatch(MOUSE_ID)
    if human is not None:
        keep &= table[human].str.fullmatch(HUMAN_ID)

    left = iter([column for column in table if column not in (mouse, human)])
    columns = [next(left) if mouse is None else mouse]
    human = next(left) if human is None else human
    if mouse is not None and MOUSE_SYMBOL in header.values:
        columns.append(header[header == MOUSE_SYMBOL].index[0])

    rows = table[keep & table[human].ne("")]
    versions = r"^(ENS(?:MUS)?G[0-9]+)\.[0-9]+$"
    rows = rows.apply(lambda column: column.str.replace(versions, r"\1", regex=True))
    return [
        pair for column in columns for pair in zip(rows[column], rows[human], strict=True) if pair[0]
    ]


def _column_of(table: pd.DataFrame, pattern: str) -> int | None:
    matches = table.apply(lambda column: column.str.fullmatch(pattern).sum())
    return matches.idxmax() if matches.max() > 0 else None
