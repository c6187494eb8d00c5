import numpy as np
import pandas as pd

#: Text that stands where a value is missing, once it went through NumPy, R or :obj:`.astype(str)`.
NO_VALUE = ("", "nan", "NaN", "NAN", "NA", "N/A", "n/a", "<NA>", "NaT", "None")


def missing_values(values: pd.Series) -> np.ndarray:
    r"""Which values are none :math:`(N)`: missing ones, and text that says so (:obj:`NO_VALUE`)."""
    text = values.astype(object).map(lambda value: isinstance(value, str) and value.strip() in NO_VALUE)
    return values.isna().to_numpy() | text.to_numpy(dtype=bool)


def one_column(table: pd.DataFrame, name: str, where: str = "adata.obs") -> pd.Series:
    r"""Returns a column of a table.

    Raises:
        ValueError: Several have that name.
    """
    column = table[name]
    if isinstance(column, pd.DataFrame):
        raise ValueError(
            f"{column.shape[1]} columns of '{where}' are called {name!r}; give each a name of its own"
        )
    return column


def name_hashes(names: pd.Index) -> np.ndarray:
    r"""Returns a hash of each name :math:`(N)`, int64, the same on every machine and never -1."""
    hashes = pd.util.hash_array(names.astype(str).to_numpy(dtype=object), categorize=False)
    return hashes.view(np.int64) & np.int64(2**63 - 1)


def rows_by_name(
    names: pd.Index, wanted: pd.Index, what: str, where: str, mend: str
) -> np.ndarray | None:
    r"""Returns in which row each wanted name is, or :obj:`None` where names are in that order already.

    Args:
        names (pd.Index): The names of the rows at hand.
        wanted (pd.Index): The names of the rows that are wanted.
        what (str): What the rows are, and where they are wanted, in the error.
        where (str): See there.
        mend (str): What to do about it.

    Raises:
        ValueError: Names are not there, or are there several times in another order; the message says
            the first that differ.
    """
    names, wanted = names.astype(str), wanted.astype(str)
    if names.equals(wanted):
        return None
    unique = names.is_unique and wanted.is_unique
    if unique:
        rows = names.get_indexer(wanted)
        if (rows >= 0).all():
            return rows
        missing = wanted[rows < 0]
        reason = f"{len(missing)} of {len(wanted)} are not among them, the first {missing[0]!r}"
    else:
        reason = "some are there several times"
    both = min(len(names), len(wanted))
    differ = np.flatnonzero(names[:both].to_numpy() != wanted[:both].to_numpy())
    first = f"there are {len(names)} instead of {len(wanted)}"
    if differ.size > 0:
        row = differ[0]
        first = f"the first that differs is {names[row]!r} instead of {wanted[row]!r}"
    raise ValueError(f"{what} have other names than {where}: {first}, and {reason}. {mend}")
