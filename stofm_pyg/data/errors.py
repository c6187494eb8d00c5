import difflib
import reprlib
from collections.abc import Iterable

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict = 2, 4, 4, 4
_SHORT.maxstring, _SHORT.maxother = 80, 80


class NotInSource(ValueError):
    r"""What is asked for is not there, in a source that is whole."""


def unknown_key(key: str, where: str, known: Iterable[str], mend: str = "") -> NotInSource:
    r"""Returns the error for a name that is not there: what exists, and what is nearest.

    Args:
        key (str): The name that was not found.
        where (str): Where it was looked up, *e.g.*, :obj:`"adata.obs"`.
        known (iterable of str): The names that exist there.
        mend (str, optional): A sentence saying what to do about it. (default: :obj:`""`)
    """
    known = [str(name) for name in known]
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(key).lower(), list(lowered), n=1)

    listed = ", ".join(repr(name) for name in known) or "nothing"
    parts = [f"{key!r} is not in '{where}', which holds {listed}."]
    if near:
        parts.append(f"Did you mean {lowered[near[0]]!r}?")
    if mend:
        parts.append(mend)
    return NotInSource(" ".join(parts))


def nearest_name(name: str, known: Iterable[str]) -> str:
    r"""Returns which name was likely meant, as a sentence for the end of a message, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f". Did you mean {near[0]!r}?" if near else ""


def known_names(name: str, known: Iterable[str]) -> str:
    r"""Returns what names there are, after the one that was likely meant, for the end of a message."""
    known = [str(item) for item in known]
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}? Known" if near else "known"
    return f"{hint}: {', '.join(known)}"


def shown(value: object) -> str:
    r"""Returns a value for a message, shortened: lists of ten times the same list, ten times over, are
    small and would fill the memory when they are written out."""
    return _SHORT.repr(value)
