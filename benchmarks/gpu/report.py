r"""Rows of the check on a GPU as a page of tables."""

from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks.speed.harness import number

COLUMNS = ("case", "side", "cells", "batch", "dtype", "seconds", "peak_mib", "cells_per_second", "note")


def as_table(rows: Sequence[Mapping], name: str) -> str:
    r"""Returns a Markdown page: how many tests passed, those that did not, and what was measured."""
    lines = [f"# {name}", ""]
    for part in dict.fromkeys(row["part"] for row in rows):
        of_part = [row for row in rows if row["part"] == part]
        lines += [f"## {part}", "", of_part[0]["machine"], ""]
        if part == "tests":
            counts = Counter(row.get("side") or "note" for row in of_part)
            lines += [", ".join(f"{count} {outcome}" for outcome, count in counts.items()), ""]
            of_part = [row for row in of_part if row.get("side") != "passed"]
        if of_part:
            columns = [key for key in COLUMNS if any(row.get(key) is not None for row in of_part)]
            lines += [_line(columns), _line("---" for _ in columns)]
            lines += [_line(_cell(row.get(key)) for key in columns) for row in of_part]
            lines.append("")
    return "\n".join(lines)


def _line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|")
