from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed.growth import growth_exponent
from benchmarks.speed.stage_window import STEP_PARTS, WAITING

CASES = ("build", "encode", "stage_1", "stage_2")
NAMES = {
    "build": "corpus build",
    "encode": "encoding",
    "stage_1": "stage 1, a pass",
    "stage_2": "stage 2, a pass",
}
# Of the largest sizes, where what does not grow with cells is little.
LARGE = 10_000


def size_table(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""Seconds, cells per second, memory and bytes by stage and number of cells, as a Markdown table.

    Args:
        rows (list of dict): The rows of :obj:`benchmarks/speed/pretrain.py`.
    """
    head = ["", "corpus", "cells", "seconds", "cells/s", "peak MiB", "bytes/cell", "note"]
    lines = [head, ["---"] * len(head)]
    for case in CASES:
        for row in (row for row in rows if row["case"] == case):
            values = [row.get(key) for key in ("median_s", "cells_per_second", "peak_mib")]
            values.append(row.get("bytes_per_cell"))
            shown = [NAMES[case], row["side"], f"{row['cells']:,}", *map(number, values)]
            lines.append([*shown, row.get("note") or ""])
    return table(lines)


def time_table(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""Where the time of a step goes, in milliseconds and per cent, as a Markdown table."""
    rows = [row for row in rows if "parts" in row]
    head = ["", *(f"{NAMES[row['case']].split(',')[0]}, {row['cells']:,} cells" for row in rows)]
    lines = [head, ["---"] * len(head)]
    for part in STEP_PARTS:
        cells = [f"{1000 * row['parts'][part]:.1f} ms, {share(row, part)}" for row in rows]
        lines.append([part, *cells])
    lines.append(["a step", *(f"{1000 * row['step_s']:.1f} ms" for row in rows)])
    for what, count in (("evaluation", "evaluations_per_pass"), ("checkpoint", "saves_per_pass")):
        cells = [f"{row[what + '_s']:.3g} s, {row[count]} times a pass" for row in rows]
        lines.append([f"an {what}" if what[0] in "aeiou" else f"a {what}", *cells])
    return table(lines)


def loader_table(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""What the process that loads does for a step, in milliseconds, as a Markdown table."""
    rows = [row for row in rows if "loader" in row]
    parts = list(dict.fromkeys(part for row in rows for part in row["loader"]))
    parts.sort(key=lambda part: part == "rest")
    head = ["", *(f"{NAMES[row['case']].split(',')[0]}, {row['cells']:,} cells" for row in rows)]
    lines = [head, ["---"] * len(head)]
    for part in parts:
        cells = [row["loader"].get(part) for row in rows]
        lines.append([part, *("" if value is None else f"{1000 * value:.1f} ms" for value in cells)])
    lines.append(["a step", *(f"{1000 * sum(row['loader'].values()):.1f} ms" for row in rows)])
    return table(lines)


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    r"""The exponents of time against cells by case: of all sizes, and of those from 10,000 cells on, as
    far as there are two.

    The time of a pass is taken against the cells that are trained on.
    """
    out: dict[str, dict[str, float]] = {}
    for case in CASES:
        points = [
            (row.get("train_cells", row["cells"]), row["median_s"])
            for row in rows
            if row["case"] == case and row["median_s"]
        ]
        large = [point for point in points if point[0] >= 0.9 * LARGE]
        for name, chosen in (("all", points), ("large", large)):
            if len({cells for cells, _ in chosen}) > 1:
                out.setdefault(case, {})[name] = growth_exponent(*zip(*chosen, strict=True))
    return out


def exponent_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""The exponents in words, a line for each case."""
    lines = []
    for case, values in exponents(rows).items():
        text = f"time of {NAMES[case]} grows as cells to the power of {values['all']:.2f}"
        if "large" in values:
            text += f"; from {LARGE:,} cells on {values['large']:.2f}"
        lines.append(f"- {text}")
    return "\n".join(lines)


def share(row: Mapping[str, Any], part: str) -> str:
    r"""The share of a part in a step in per cent."""
    return f"{100 * row['parts'][part] / row['step_s']:.1f} %"


def waiting_lines(rows: Sequence[Mapping[str, Any]], target: float = 0.1) -> str:
    r"""Whether steps wait for data for less than a share of their time, a line for each row."""
    lines = []
    for row in (row for row in rows if "parts" in row):
        verdict = "below" if row["waiting_share"] < target else "NOT below"
        name = NAMES[row["case"]].split(",")[0]
        lines.append(
            f"- {name}, {row['cells']:,} cells: {share(row, WAITING)} of the time is waiting for data, "
            f"{verdict} {100 * target:g} %"
        )
    return "\n".join(lines)


def number(value: float | None) -> str:
    r"""A number with three digits, or all before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(lines: Sequence[Sequence[str]]) -> str:
    r"""Lines of cells as Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
