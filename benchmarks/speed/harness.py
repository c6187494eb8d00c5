r"""What the speed benchmarks share: options, the sweep over sizes, and the report.

A script builds what it measures from :obj:`(case, side, cells)`, calls :func:`run_script`, and is run
again by it as `SCRIPT ... --child CASE SIDE CELLS` for the memory of each side alone.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.device import find_device
from benchmarks.speed.child import is_out_of_memory, run_in_child
from benchmarks.speed.machine import describe_machine, machine_line
from benchmarks.speed.memory import available_memory, limit_memory, measure_peak
from benchmarks.speed.plot_rows import plot_rows
from benchmarks.speed.rows import rows_table, write_rows
from benchmarks.speed.timing import time_sides

__all__ = [
    "add_options",
    "available_memory",
    "describe_machine",
    "machine_line",
    "measure_peak",
    "plot_rows",
    "rows_table",
    "run_in_child",
    "run_script",
    "time_sides",
    "write_rows",
]

Build = Callable[[str, str, int], Callable[[], object]]
Check = Callable[[str, int, Mapping[str, Callable[[], object]]], Mapping[str, dict]]
START_UP = 60.0  # Seconds that a subprocess may take for imports and inputs.
FORESIGHT = 4  # Times of much smaller sizes foretell nothing, as most of them is overhead.


def add_options(parser: argparse.ArgumentParser, cells: Sequence[int]):
    r"""Adds the options that every speed benchmark has."""
    add = parser.add_argument
    add("--cells", nargs="+", type=int, default=list(cells), metavar="N", help="sizes to measure")
    add("--json", type=Path, metavar="FILE", help="write the measurements here, and a plot beside")
    add("--plot", type=Path, metavar="FILE", help="default: beside --json, as .png")
    add("--repeats", type=int, default=5, help="timed runs of each side (default: 5)")
    add("--seconds", type=float, default=120.0, help="longest run (default: 120)")
    add("--memory", type=float, metavar="GIB", help="limit for a side (default: 0.8 of what is free)")
    add("--threads", type=int, help="default: as torch chooses")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    add("--seed", type=int, default=0, help="of weights and inputs (default: 0)")
    add("--child", nargs=3, metavar=("CASE", "SIDE", "CELLS"), help=argparse.SUPPRESS)


def run_script(
    script: str,
    argv: Sequence[str],
    args: argparse.Namespace,
    build: Build,
    cases: Sequence[str],
    sides: Sequence[str],
    *,
    baselines: Sequence[str] = (),
    check: Check | None = None,
    limits: Mapping[str, int] | None = None,
    growth: float = 2.0,
    warm_cells: int = 64,
    extras: Mapping[str, object] | None = None,
) -> list[dict]:
    r"""Measures every side at every size, prints a table, and writes JSON and plot where asked for.

    Peak memory comes first and from a subprocess, so that a side which does not fit fails there and
    leaves a note; what is left is timed side by side in this process.

    Args:
        script (str): Path of the calling script, :obj:`__file__`.
        argv (list of str): Its arguments.
        args (argparse.Namespace): The same, parsed; with the options of :func:`add_options`.
        build (Callable): Called with :obj:`(case, side, cells)`, prepares inputs and weights and
            returns what to measure, a function without arguments.
        cases (list of str): Kinds of measurement.
        sides (list of str): What is compared.
        baselines (list of str, optional): Sides to compare the others with in the table.
        check (Callable, optional): Called with :obj:`(case, cells, functions by side)` before timing;
            raises if results differ, and returns what to add to the rows of each side.
        limits (dict, optional): The largest size of a side.
        growth (float, optional): The exponent by which time is expected to grow with cells; a
            size expected to take longer than :obj:`--seconds` is left out. (default: :obj:`2.0`)
        warm_cells (int, optional): The size of a warm-up before memory is measured.
        extras (dict, optional): More to put into every row.
    """
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if min(args.cells) < 1 or args.repeats < 1 or not args.seconds > 0:
        raise ValueError(
            f"--cells, --repeats and --seconds must be positive (got {args.cells}, {args.repeats} and "
            f"{args.seconds})"
        )
    device = find_device(args.device)
    if args.child:
        case, side, cells = args.child
        print(json.dumps(_run_child(args, device, build, case, side, int(cells), warm_cells)))
        return []

    machine = machine_line(describe_machine(device))
    print(machine, end="\n\n", flush=True)
    rows: list[dict] = []
    for case in cases:
        taken: dict[str, tuple[int, float]] = {}
        too_large: dict[str, str] = {}
        for cells in sorted(set(args.cells)):
            new: dict[str, dict] = {}
            for side in sides:
                row = {"case": case, "side": side, "cells": cells, "median_s": None, "peak_mib": None}
                new[side] = row | {"device": device.type, **(extras or {}), "machine": machine}
                note = too_large.get(side) or _over_limit(
                    side, cells, limits, taken.get(side), growth, args.seconds
                )
                if note is None:
                    child = [*argv, "--child", case, side, str(cells)]
                    measured = run_in_child(script, child, START_UP + 2 * args.seconds)
                    note = measured.get("note")
                    if note is None:
                        taken[side] = cells, measured.pop("seconds")
                        new[side] |= measured
                    else:
                        too_large[side] = f"skipped: {note} at {cells:,} cells"
                if note is not None:
                    new[side]["note"] = note
            _time_rows(case, cells, new, build, check, args, device)
            for row in new.values():
                print(_line(row), flush=True)
            rows += new.values()
            if args.json is not None:
                write_rows(args.json, rows)

    print("\n" + rows_table(rows, baselines))
    picture = args.plot or (args.json and args.json.with_suffix(".png"))
    if picture is not None:
        plot_rows(rows, picture, machine)
    return rows


def _run_child(args, device, build, case, side, cells, warm_cells) -> dict:
    limit = _memory_limit(args)
    try:
        if device.type == "cpu" and limit is not None:
            limit_memory(limit)
        # Libraries load and threads start at the first call, at a size that leaves next to nothing.
        build(case, side, min(cells, warm_cells))()
        call = build(case, side, cells)
        if device.type == "cuda":  # What is compiled for a size is no part of its memory and time.
            call()
        return measure_peak(call, device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return {"note": "out of memory"}


def _memory_limit(args: argparse.Namespace) -> int | None:
    if args.memory is not None:
        return int(args.memory * 2**30)
    free = available_memory()
    return None if free is None else int(0.8 * free)


def _over_limit(side, cells, limits, taken, growth, seconds) -> str | None:
    if limits and cells > limits.get(side, cells):
        return f"skipped: over the limit of {limits[side]:,} cells"
    if taken is not None and cells <= FORESIGHT * taken[0]:
        expected = taken[1] * (cells / taken[0]) ** growth
        if expected > seconds:
            return f"skipped: about {expected:.0f} s expected, over --seconds {seconds:g}"
    return None


def _time_rows(case, cells, rows, build, check, args, device):
    calls = {side: build(case, side, cells) for side, row in rows.items() if "note" not in row}
    added = check(case, cells, calls) if check is not None and calls else {}
    warmup = 2 if device.type == "cuda" else 1
    for side, times in time_sides(calls, args.repeats, warmup, args.seconds / 2, device).items():
        rows[side] |= {**times, **added.get(side, {})}


def _line(row: dict) -> str:
    text = row.get("note") or f"{row['median_s']:.4g} s, {row['peak_mib']:,.0f} MiB"
    return f"{row['case']}, {row['cells']:,} cells, {row['side']}: {text}"


def exit_status(run: Callable[[], object]) -> int:
    r"""Runs a script's work and turns the errors that a user can mend into a message."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        run()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
