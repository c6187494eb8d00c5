r"""What pre-training on a large corpus costs, from measured rows:
`python benchmarks/speed/scaling_cost.py ROWS.json --cells 88e6 --gpus 4`.

ROWS.json is what `benchmarks/speed/pretrain.py --json` wrote; of each stage the row with the most cells
counts. A "GPU" is whatever device the rows were measured on, which the output names: rows of a CPU tell
what so many of these CPUs would cost, and nothing of a GPU.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import exit_status  # noqa: E402
from benchmarks.speed.pretrain_tables import CASES, NAMES, number, table  # noqa: E402

HOUR, GIB = 3600.0, 2.0**30


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = out.add_argument
    add("rows", type=Path, metavar="ROWS.json", help="what pretrain.py --json wrote")
    add("--cells", type=float, default=88e6, help="cells of the corpus (default: 88e6)")
    add("--gpus", type=int, default=4, metavar="N", help="devices as the measured one (default: 4)")
    add("--workers", type=int, default=1, help="processes that build the corpus (default: 1)")
    add("--epochs", type=int, nargs=2, default=(2, 1), metavar=("N1", "N2"), help="passes of stage 1 "
        "and of stage 2 (default: 2 1, the paper's)")  # fmt: skip
    add("--efficiency", type=float, default=1.0, help="the part of the measured speed that each of "
        "several GPUs keeps (default: 1, an assumption to be measured)")  # fmt: skip
    return out


def scaling_cost(
    rows: Sequence[Mapping[str, Any]],
    cells: float,
    gpus: int = 4,
    workers: int = 1,
    epochs: Sequence[int] = (2, 1),
    efficiency: float = 1.0,
) -> dict[str, dict[str, float]]:
    r"""Returns hours (:obj:`"hours"`), device hours (:obj:`"device_hours"`) and bytes on disk
    (:obj:`"bytes"`) of each stage.

    With :math:`M` cells on :math:`G` devices, :math:`r` cells per second on one of them, :math:`b` cells
    per step, and :math:`t` seconds for an evaluation and a checkpoint, each every :math:`k` steps, a
    stage of :math:`E` passes takes

    .. math::
        E M \left( \frac{1}{G r \eta} + \frac{1}{b} \left( \frac{t_{eval}}{k_{eval}} +
        \frac{t_{save}}{k_{save}} \right) \right)

    seconds: steps are shared by devices, evaluations and checkpoints are not. Building and encoding take
    :math:`M / (W r)` and :math:`M / (G r)`.

    Args:
        rows (list of dict): Measured rows; of each case that with the most cells counts.
        cells (float): The number of cells :math:`M`.
        gpus (int, optional): The number of devices :math:`G`. (default: :obj:`4`)
        workers (int, optional): The number of processes :math:`W` that build the corpus.
            (default: :obj:`1`)
        epochs (sequence of int, optional): The passes of both stages. (default: :obj:`(2, 1)`)
        efficiency (float, optional): The part :math:`\eta` of its speed that a device keeps among
            others. (default: :obj:`1.0`)
    """
    if not (cells > 0 and gpus > 0 and workers > 0 and 0 < efficiency <= 1 and min(epochs) >= 0):
        raise ValueError(
            f"--cells, --gpus and --workers must be positive, --efficiency in (0, 1], --epochs not "
            f"negative (got {cells}, {gpus}, {workers}, {efficiency} and {tuple(epochs)})"
        )
    out: dict[str, dict[str, float]] = {}
    for case in CASES:
        row = largest(rows, case)
        if row is None:
            continue
        devices = workers if case == "build" else gpus
        seconds = None
        if row.get("cells_per_second"):
            kept = 1.0 if case == "build" else efficiency
            seconds = cells / (devices * row["cells_per_second"] * kept)
        if case.startswith("stage_"):
            steps = cells / row["cells_per_step"]
            seconds += steps * row["evaluation_s"] / row["evaluate_every"]
            seconds += steps * row["checkpoint_s"] / row["save_every"]
            seconds *= epochs[int(case[-1]) - 1]
        out[case] = {"cells_per_second": row.get("cells_per_second"), "devices": devices}
        out[case]["hours"] = None if seconds is None else seconds / HOUR
        out[case]["device_hours"] = None if seconds is None else devices * seconds / HOUR
        out[case]["bytes"] = cells * row["bytes_per_cell"] if "bytes_per_cell" in row else None
    if not out:
        raise ValueError(f"The rows hold none of {', '.join(CASES)}; write them with pretrain.py --json")
    return out


def largest(rows: Sequence[Mapping[str, Any]], case: str) -> Mapping[str, Any] | None:
    r"""Returns the row of a case with the most cells, of those that were timed if there are any."""
    own = [row for row in rows if row.get("case") == case and "bytes_per_cell" in row]
    own += [row for row in rows if row.get("case") == case and row.get("cells_per_second")]
    return max(own, key=lambda row: (bool(row.get("cells_per_second")), row["cells"]), default=None)


def cost_table(costs: Mapping[str, Mapping[str, float]], epochs: Sequence[int]) -> str:
    r"""The costs as a Markdown table.

    Args:
        costs (dict): What :meth:`scaling_cost` returns.
        epochs (sequence of int): The passes of both stages.
    """
    head = ["", "passes", "cells/s of one", "devices", "hours", "device hours", "GiB on disk"]
    lines = [head, ["---"] * len(head)]
    for case, cost in costs.items():
        passes = str(epochs[int(case[-1]) - 1]) if case.startswith("stage_") else "1"
        size = None if cost["bytes"] is None else cost["bytes"] / GIB
        values = (cost["hours"], cost["device_hours"], size)
        name = NAMES[case].split(",")[0]
        line = [name, passes, number(cost["cells_per_second"]), f"{cost['devices']}"]
        lines.append([*line, *map(number, values)])
    whole = [sum(cost[key] or 0.0 for cost in costs.values()) for key in ("hours", "bytes")]
    computing = sum(cost["device_hours"] or 0.0 for case, cost in costs.items() if case != "build")
    lines.append(["all", "", "", "", number(whole[0]), f"{number(computing)} without the build",
                  number(whole[1] / GIB)])  # fmt: skip
    return table(lines)


def run(argv: list[str]):
    args = parser().parse_args(argv)
    try:
        rows = json.loads(args.rows.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{args.rows} is no JSON: {error}") from error
    costs = scaling_cost(rows, args.cells, args.gpus, args.workers, args.epochs, args.efficiency)
    used = [row for row in (largest(rows, case) for case in costs) if row is not None]
    for what in dict.fromkeys((row.get("machine"), row.get("preset")) for row in used):
        print(f"Measured on: {what[0]}; preset {what[1]}")
    kinds = {row.get("device") for row in used}
    print(f"{args.cells:,.0f} cells on {args.gpus} x {', '.join(sorted(map(str, kinds)))} as measured\n")
    print(cost_table(costs, args.epochs))


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return exit_status(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
