import json
from collections.abc import Sequence
from pathlib import Path

from stofm_pyg._files import write_atomically

KEYS = ("case", "side", "cells", "median_s", "peak_mib")


def write_rows(path: Path, rows: Sequence[dict]):
    r"""Writes measurements as a JSON list of rows with :obj:`case`, :obj:`side`, :obj:`cells`,
    :obj:`median_s`, :obj:`peak_mib` and whatever else they hold.

    A side that did not run has nulls and a :obj:`note`.
    """
    for row in rows:
        missing = [key for key in KEYS if key not in row]
        if missing:
            raise ValueError(f"The row {row} lacks {missing}; put null where nothing was measured")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def rows_table(rows: Sequence[dict], baselines: Sequence[str] = ()) -> str:
    r"""Measurements as a Markdown table, with how each side compares to the baselines that ran.

    Args:
        rows (list of dict): The rows.
        baselines (list of str, optional): Sides to compare the others with. (default: :obj:`()`)
    """
    baselines = [name for name in baselines if any(row["side"] == name for row in rows)]
    measured = {(row["case"], row["cells"], row["side"]): row for row in rows}
    head = ["case", "cells", "side", "seconds", "peak MiB"]
    for name in baselines:
        head += [f"time vs {name}", f"memory vs {name}"]
    notes = any(row.get("note") for row in rows)
    lines = [head + ["note"] * notes, ["---"] * (len(head) + notes)]
    for row in rows:
        line = [row["case"], f"{row['cells']:,}", row["side"], _number(row["median_s"])]
        line.append(_number(row["peak_mib"]))
        for name in baselines:
            base = measured.get((row["case"], row["cells"], name), {})
            for key, better, worse in (("median_s", "faster", "slower"), ("peak_mib", "less", "more")):
                same = row["side"] == name
                line.append("" if same else _ratio(row[key], base.get(key), better, worse))
        lines.append(line + [row.get("note") or ""] * notes)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None, base: float | None, better: str, worse: str) -> str:
    if not value or not base:
        return "-"
    word = better if value <= base else worse
    return f"{_number(max(value, base) / min(value, base))}x {word}"
