import csv
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

Pairs = str | os.PathLike | Iterable[tuple[str, str]]

# The columns of the tables that are read: those of liana's resource, and what others call them.
LIGAND = ("source_genesymbol", "ligand", "source", "from")
RECEPTOR = ("target_genesymbol", "receptor", "target", "to")


def ligand_receptor_pairs(pairs: Pairs = "consensus") -> list[tuple[str, str]]:
    r"""Reads pairs of a ligand and its receptor, each once, in the order of the table.

    Args:
        pairs (str or PathLike or iterable, optional): The name of a resource in the package liana, such
            as :obj:`"consensus"` or :obj:`"mouseconsensus"`; a CSV file with two columns, ligands and
            receptors (with a header that names them, or without); or the pairs themselves. A complex is
            written with its genes joined by :obj:`"_"`. (default: :obj:`"consensus"`)

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: The package liana is not installed.
        ValueError: The table has no pairs, or liana no such resource.
    """
    if isinstance(pairs, (str, os.PathLike)):
        is_file = not isinstance(pairs, str) or Path(pairs).suffix != "" or os.sep in pairs
        found = _of_file(Path(pairs).expanduser()) if is_file else _of_liana(pairs)
        what = f"'{pairs}'"
    else:
        found = [tuple(str(gene).strip() for gene in pair) for pair in pairs]
        what = "'pairs'"
    bad = [pair for pair in found if len(pair) != 2 or not all(pair)]
    if bad or not found:
        reason = f"holds {bad[0]!r}, which is no pair of two genes" if bad else "holds no pairs"
        raise ValueError(
            f"{what} {reason}; give a table with two columns, ligands and receptors, or the name of a "
            f"resource of liana, such as 'consensus'"
        )
    return list(dict.fromkeys(found))


def _of_file(path: Path) -> list[tuple[str, ...]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}' with pairs of ligands and receptors")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [[field.strip() for field in row] for row in csv.reader(file) if any(row)]
    columns = _columns(rows[0]) if rows else None
    if columns is None:
        return [tuple(row) for row in rows]
    return [tuple(row[column] for column in columns if column < len(row)) for row in rows[1:]]


def _of_liana(name: str) -> list[tuple[str, str]]:
    # Its file alone; importing it would import scanpy and much else.
    spec = importlib.util.find_spec("liana")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f"The pairs '{name}' are a table of the package liana, which is not installed: "
            f'pip install "stofm-pyg[ligands]", or pass a CSV file of your own'
        )
    path = Path(next(iter(spec.submodule_search_locations)), "resource", "omni_resource.csv")
    with open(path, newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    known = sorted({row["resource"] for row in table})
    if name.lower() not in known:
        raise ValueError(f"liana has no resource '{name}'; known: {', '.join(known)}")
    return [
        (row[LIGAND[0]], row[RECEPTOR[0]]) for row in table if row["resource"] == name.lower()
    ]


def _columns(header: list[str]) -> tuple[int, int] | None:
    names = [name.lower() for name in header]
    for ligand, receptor in zip(LIGAND, RECEPTOR, strict=True):
        if ligand in names and receptor in names:
            return names.index(ligand), names.index(receptor)
    return None
