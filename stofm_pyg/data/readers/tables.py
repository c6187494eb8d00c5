import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from stofm_pyg.data.errors import NotInSource
from stofm_pyg.data.readers._imported import imported
from stofm_pyg.data.readers.damage import damage_named, unreadable

ROWS_PER_READ = 4096


def read_table(path: Path, *, text: Sequence[str | int] = (), header: bool = True) -> pd.DataFrame:
    r"""Reads a table: Parquet, or text between commas or tabs, compressed or not, that may begin with
    lines of comments.

    Args:
        path (Path): The file.
        text (sequence of str or int, optional): Columns, by name or number, that stay text, such as
            names of cells that look like numbers. (default: :obj:`()`)
        header (bool, optional): Whether the first line names the columns; they are called by their
            numbers without. (default: :obj:`True`)

    Raises:
        ImportError: It is Parquet, and pyarrow is not installed.
        ValueError: It is truncated or damaged.
    """
    if path.suffix == ".parquet":
        imported("pyarrow", f"Parquet files such as '{path.name}'")
        with damage_named(path, "Parquet file"):
            return pd.read_parquet(path, engine="pyarrow")
    with damage_named(path, "table"):
        dialect = _dialect(path)
        named = read_header(path) if header else []
        types = {named[key] if header and isinstance(key, int) else key: str for key in text}
        table = pd.read_csv(path, header=0 if header else None, dtype=types, index_col=False, **dialect)
    if len(table) == 0:
        raise unreadable(path, "it has no rows", "table")
    return table


def read_header(path: Path) -> list[str]:
    r"""Returns the names of the columns of a table of text.

    Args:
        path (Path): The file.

    Raises:
        ValueError: It is truncated or damaged.
    """
    with damage_named(path, "table"):
        return [str(name) for name in pd.read_csv(path, nrows=0, **_dialect(path)).columns]


def first_column(table: pd.DataFrame, known: Sequence[str], path: Path) -> str:
    r"""Returns which of some names a column of a table has.

    Args:
        table (DataFrame): The table.
        known (sequence of str): What the column is called, in one version of the format or another.
        path (Path): Where the table is from.

    Raises:
        ValueError: It has no such column.
    """
    for name in known:
        if name in table.columns:
            return name
    listed = " or ".join(repr(name) for name in known)
    columns = ", ".join(repr(str(name)) for name in table.columns[:20])
    raise NotInSource(f"'{path}' has no column {listed}; it holds {columns}. Is it another table?")


def whole_rows(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    r"""Returns a table of which no row is cut short in some columns.

    Raises:
        ValueError: One is.
    """
    cut = table[list(columns)].isna().any(axis=1).to_numpy()
    if cut.any():
        row = int(np.argmax(cut))
        raise unreadable(path, f"row {row + 1} of {len(table)} has no {columns[-1]!r}", "whole table")
    return table


def numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    r"""Returns a table of which some columns are numbers, without rows that are cut short in them.

    Raises:
        ValueError: A value is no number, or none.
    """
    table = whole_rows(table, columns, path).copy()
    for name in columns:
        values = pd.to_numeric(table[name], errors="coerce")
        if values.isna().any():
            row = int(np.argmax(values.isna()))
            told = f"row {row + 1} has {table[name].iloc[row]!r} as {name!r}, which is no number"
            raise unreadable(path, told, "whole table")
        table[name] = values
    return table


def read_counts(
    path: Path, num_names: int = 1
) -> tuple[pd.DataFrame, sparse.csr_matrix, pd.Index]:
    r"""Reads a dense matrix that is written as a table, some rows at a time.

    Args:
        path (Path): The file; its first columns name a row, its header the others.
        num_names (int, optional): How many columns name a row. (default: :obj:`1`)

    Returns:
        The names of the rows :math:`(N)`, the matrix :math:`(N, G)` and the names of its columns.

    Raises:
        ValueError: It is truncated, damaged, or holds what are no numbers.
    """
    names, blocks, columns = [], [], None
    with damage_named(path, "table of counts"):
        named = read_header(path)
        types = {name: str if i < num_names else np.float32 for i, name in enumerate(named)}
        for chunk in table_chunks(path, types, ROWS_PER_READ):
            columns = chunk.columns[num_names:]
            values = chunk.iloc[:, num_names:].to_numpy(np.float32)
            if np.isnan(values).any():
                row, column = np.argwhere(np.isnan(values))[0]
                where = f"row {chunk.index[row] + 1} has no value for {columns[column]!r}"
                raise unreadable(path, where, "whole table of counts")
            names.append(chunk.iloc[:, :num_names])
            blocks.append(sparse.csr_matrix(values))
    if not blocks:
        raise unreadable(path, "it has no rows", "table of counts")
    return pd.concat(names, ignore_index=True), sparse.vstack(blocks, format="csr"), columns.astype(str)


def table_chunks(
    path: Path, types: Mapping[str, object] | None = None, rows: int = 2**20
) -> Iterator[pd.DataFrame]:
    r"""Yields a table of text some rows at a time.

    Args:
        path (Path): The file.
        types (dict, optional): The types of columns. (default: :obj:`None`)
        rows (int, optional): How many rows. (default: :obj:`2**20`)
    """
    yield from pd.read_csv(path, dtype=types, chunksize=rows, index_col=False, **_dialect(path))


def _dialect(path: Path) -> dict[str, object]:
    # pandas guesses the compression of a file by its name.
    opened = gzip.open if path.suffix == ".gz" else open
    skipped, line = 0, ""
    with opened(path, "rt", encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            skipped += 1
    return {"sep": "\t" if line.count("\t") > line.count(",") else ",", "skiprows": skipped}
