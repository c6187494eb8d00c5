r"""Lists of names on the command line."""

from collections.abc import Collection

from stofm_pyg.data.errors import known_names


def split_names(asked: str) -> list[str]:
    r"""The names of a list with commas, each once."""
    return list(dict.fromkeys(part.strip() for part in asked.split(",")))


def names_in(asked: str, known: Collection[str], kind: str) -> list[str]:
    r"""The names of a list with commas, each once, all of them known.

    Args:
        asked (str): The list.
        known (collection of str): The names that there are.
        kind (str): What they are names of, for the error.

    Raises:
        ValueError: One is unknown.
    """
    names = split_names(asked)
    for name in names:
        if name not in known:
            raise ValueError(f"Unknown {kind} '{name}'; {known_names(name, known)}")
    return names
