r"""What the speed benchmarks share: a sweep over sizes in processes of their own, a table and JSON."""

import argparse
import ctypes
import gc
import json
import os
import platform
import re
import resource
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.utils.benchmark import timer  # Waits for the GPU, where there is one.

from stofm_pyg._files import write_atomically
from stofm_pyg.train import find_device

WARM_CELLS = 64


def num(default: int, text: str) -> dict:
    r"""What argparse is told of an option that takes an integer."""
    return {"type": int, "default": default, "metavar": "N", "help": f"{text} (default: {default})"}


class Benchmark:
    r"""Measures some sides in some cases at some sizes.

    A side runs in a process of its own first, which tells its memory; one that does not fit fails there
    and leaves a note. What is left must agree, and is then timed here, the sides taking turns.
    """

    cases: Sequence[str] = ()
    sides: Sequence[str] = ()
    baselines: Sequence[str] = ()  # The sides that the others are compared with in the table.
    columns: Sequence[str] = ()  # What else of a row is shown there.
    options: Mapping[str, dict] = {}  # What argparse is told of the options of this benchmark.

    def __init__(self, args: argparse.Namespace):
        if min(*args.cells, args.repeats) < 1:
            raise ValueError(f"--cells and --repeats take 1 or more (got {args.cells}, {args.repeats})")
        torch.set_num_threads(args.threads or torch.get_num_threads())
        self.args, self.device = args, find_device(args.device)

    @classmethod
    def parse(cls, argv: Sequence[str] | None = None) -> argparse.Namespace:
        r"""Reads the command line."""
        text, form = sys.modules[cls.__module__].__doc__, argparse.RawDescriptionHelpFormatter
        parser = argparse.ArgumentParser(description=text, formatter_class=form)
        options = {
            "cells": {"nargs": "+", "type": int, "default": [1000], "metavar": "N", "help": "sizes"},
            "json": {"type": Path, "metavar": "FILE", "help": "write the measurements here"},
            "repeats": num(5, "timed runs of each side"),
            "seed": num(0, "of weights and inputs"),
            "threads": {"type": int, "help": "default: as torch chooses"},
            "device": {"default": "auto", "help": "auto, cpu, cuda, cuda:1 ..."},
        }
        for name, told in (options | dict(cls.options)).items():
            parser.add_argument(f"--{name.replace('_', '-')}", **told)
        return parser.parse_args(argv)

    @classmethod
    def main(cls, argv: Sequence[str] | None = None) -> int:
        r"""Runs a script, and turns the errors that a user can mend into a message."""
        try:
            cls(cls.parse(argv)).run()
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0

    def build(self, case: str, side: str, cells: int) -> Callable[[], object]:
        r"""Prepares inputs and weights, and returns the function to be measured."""
        raise NotImplementedError

    def check(self, case: str, cells: int, calls: Mapping[str, Callable]) -> dict[str, dict]:
        r"""Raises a :class:`ValueError` if sides do not agree; returns what to add to their rows."""
        return {}

    def measure(self, case: str, side: str, cells: int) -> dict:
        r"""Runs a side once, in a process of its own, for its memory above what it began with."""
        # Fails, rather than that other processes are killed, where more memory is wanted than is free.
        limit = int(2**20 * (_mib("self/status", "VmData") + 0.8 * _mib("meminfo", "MemAvailable")))
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        # Libraries load and threads start at the first call, which leaves next to nothing at this size.
        self.build(case, side, min(cells, WARM_CELLS))()
        call = self.build(case, side, cells)
        if self.device.type == "cuda":  # What is compiled for a size is no part of its memory.
            call()
        before = high_water(self.device, reset=True)
        call()
        return {"peak_mib": high_water(self.device) - before, "process_mib": high_water()}

    def compare(self, case: str, cells: int, sides: Sequence[str]) -> dict[str, dict]:
        r"""Checks and times some sides."""
        calls = {side: self.build(case, side, cells) for side in sides}
        added, times = self.check(case, cells, calls), time_in_turns(calls, self.args.repeats)
        return {side: times[side] | added.get(side, {}) for side in calls}

    def run(self) -> list[dict]:
        r"""Measures everything, prints a table, and writes JSON where asked for."""
        rows, machine = [], machine_line(self.device)
        print(machine, end="\n\n", flush=True)
        for case in self.cases:
            for cells in sorted(set(self.args.cells)):
                new = {side: self._measured(case, side, cells) for side in self.sides}
                ran = [side for side, row in new.items() if "note" not in row]
                compared = self.compare(case, cells, ran)
                for side, row in new.items():
                    head = {"case": case, "side": side, "cells": cells, "machine": machine}
                    empty = {"device": self.device.type, "median_s": None, "peak_mib": None}
                    rows.append(head | empty | row | compared.get(side, {}))
                    print(table(rows[-1:], (), self.columns).splitlines()[-1], flush=True)
                if self.args.json:
                    text = "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"
                    write_atomically(self.args.json, lambda part, text=text: part.write_text(text))
        print("\n" + table(rows, self.baselines, self.columns))
        return rows

    def _measured(self, case: str, side: str, cells: int) -> dict:
        try:
            return in_child(_measure, type(self), self.args, case, side, cells)
        except (RuntimeError, MemoryError) as error:  # Out of memory, or killed.
            return {"note": f"failed ({str(error).splitlines()[0][:200]})"}


def _measure(kind: type[Benchmark], args: argparse.Namespace, *what: object) -> dict:
    return kind(args).measure(*what)


def in_child(function: Callable[..., dict], *args: object) -> dict:
    r"""Calls a function in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def time_in_turns(calls: Mapping[str, Callable], repeats: int) -> dict[str, dict]:
    r"""Times functions after one run each as a warm-up, in turns, so that what slows the machine down
    slows all of them down."""
    times: dict[str, list[float]] = {side: [] for side in calls}
    for turn in range(repeats + 1):
        for side in calls if turn % 2 else reversed(calls):
            gc.collect()
            start = timer()
            out = calls[side]()
            times[side].append(timer() - start)
            del out
    medians = {side: statistics.median(values[1:]) for side, values in times.items()}
    return {side: {"median_s": median, "repeats": repeats} for side, median in medians.items()}


def high_water(device: torch.device | str = "cpu", reset: bool = False) -> float:
    r"""The most MiB that this process, or a GPU, has held at a time, from the last reset on."""
    if torch.device(device).type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.max_memory_allocated(device) / 2**20
    if reset:  # What was freed goes back to the system first, so that it counts when it is used again.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return _mib("self/status", "VmHWM")  # Not ru_maxrss, which begins with that of the parent.


def _mib(name: str, key: str) -> float:
    return int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc", name).read_text())[1]) / 1024


def machine_line(device: torch.device) -> str:
    r"""What a measurement needs beside it: GPU, processor, cores, threads, versions and date."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    gpu = f"{torch.cuda.get_device_name(device)}; " if device.type == "cuda" else ""
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{gpu}{model[1] if model else platform.machine()}, {cores}; {versions}; {date.today()}"


def table(rows: Sequence[Mapping], baselines: Sequence[str] = (), columns: Sequence[str] = ()) -> str:
    r"""Rows as a Markdown table, with how often seconds and memory of a side go into the baselines'."""
    head = ["case", "cells", "side", "seconds", "peak MiB", *columns]
    head += [f"{name} / this: {what}" for name in baselines for what in ("seconds", "MiB")] + ["note"]
    measured = {(row["case"], row["cells"], row["side"]): row for row in rows}
    lines = [head, ["---"] * len(head)]
    for row in rows:
        shown = [number(row.get(key)) for key in ("median_s", "peak_mib", *columns)]
        for name in baselines:
            base = measured.get((row["case"], row["cells"], name), {})
            for key in ("median_s", "peak_mib"):
                known = row is not base and base.get(key) and row[key]
                shown.append(number(base[key] / row[key]) if known else "")
        lines.append([row["case"], f"{row['cells']:,}", row["side"], *shown, row.get("note", "")])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    r"""A number with three digits, or all before the point."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
