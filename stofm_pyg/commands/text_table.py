r"""Reports as text: a name and what it is, line by line, and what several things have side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_COLUMNS, WIDTH = 8, 32


def row(name: str, text: str) -> str:
    r"""Returns a line of a name and what it is."""
    return f"{name:{WIDTH}s}{text}"


def columns(
    items: Sequence[Mapping[str, Any]], rows: Sequence[tuple[str, str, str]], first: str = "slice"
) -> list[str]:
    r"""Returns the lines of a table with a column for each item, eight side by side.

    Args:
        items (sequence of dict): The items, each with a :obj:`"name"`.
        rows (sequence of tuple): The key of a value, how it is called, and how it is written.
        first (str, optional): What the items are. (default: :obj:`"slice"`)
    """
    lines = []
    for start in range(0, len(items), MAX_COLUMNS):
        part = items[start : start + MAX_COLUMNS]
        widths = [max(9, len(item["name"])) for item in part]
        lines.append(_side_by_side(first, [item["name"] for item in part], widths))
        for key, called, form in rows:
            values = ["-" if item[key] is None else format(item[key], form) for item in part]
            lines.append(_side_by_side(called, values, widths))
        lines.append("")
    return lines[:-1]


def _side_by_side(name: str, values: Sequence[str], widths: Sequence[int]) -> str:
    return row(name, "  ".join(f"{v:>{w}s}" for v, w in zip(values, widths, strict=True)))
