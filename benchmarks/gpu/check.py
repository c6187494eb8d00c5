r"""Checks and times all of stofm_pyg on one GPU, part by part: see `bash tools/gpu_check.sh --help`.

Each part runs in a process of its own, in a box of time, and its rows are kept as they come. JSON and a
table of all rows, with the aims, go to a folder with the name of the GPU.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu.report import as_table
from stofm_pyg._files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
#: The parts in their order, and the most seconds that each may take: 7.5 minutes together.
BOXES = {"tests": 180, "layer": 120, "cells": 50, "train": 100}
GRACE = 10  # Of a part that is amid something when its time is over.
SLOWER = 5  # A CPU may be busy; so many times as long may a part take there.


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/gpu_check.sh", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--part", action="append", metavar="NAME", choices=[*BOXES],
        help=f"one of {', '.join(BOXES)}; repeatable (default: all)")  # fmt: skip
    add("--smoke", action="store_true", help="the smallest sizes, on the CPU")
    add("--official", metavar="DIR", help="a checkout of the official code to compare with")
    add("--out", type=Path, default=ROOT / "results" / "gpu", metavar="DIR",
        help="the figures go into a folder in it, by name (default: results/gpu)")  # fmt: skip
    args = parser.parse_args(argv)
    if not args.smoke and not torch.cuda.is_available():
        found = f"torch {torch.__version__} finds no CUDA GPU"
        print(f"error: {found}: is there one, does its driver fit CUDA {torch.version.cuda}? "
              f"--smoke checks on the CPU what can be", file=sys.stderr)  # fmt: skip
        return 2
    name = "smoke" if args.smoke else torch.cuda.get_device_name()
    out = args.out / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    out.mkdir(parents=True, exist_ok=True)
    ends = {part: run_part(part, out, args) for part in BOXES if part in (args.part or BOXES)}
    write_report(out, name)
    for part, (status, seconds) in ends.items():
        print(f"{part}: {seconds:.0f} s, " + ("done" if status == 0 else f"ended with {status}"))
    print(f"The figures are in {out}")
    return int(any(status != 0 for status, _ in ends.values()))


def run_part(part: str, out: Path, args: argparse.Namespace) -> tuple[int | str, float]:
    r"""Runs a part; returns its exit status, or why it has none, and its seconds."""
    rows = out / f"{part}.jsonl"
    rows.unlink(missing_ok=True)
    rows.touch()
    command = [sys.executable, "-m", f"benchmarks.gpu.{part}", "--rows", str(rows.resolve())]
    seconds = BOXES[part] * (SLOWER if args.smoke else 1)
    command += ["--seconds", str(seconds), *["--smoke"] * args.smoke]
    if args.official is not None:
        command += ["--official", str(Path(args.official).resolve())]
    print(f"\n=== {part} (at most {seconds} s)", flush=True)
    start = time.monotonic()
    child = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        status = child.wait(seconds + GRACE)
    except subprocess.TimeoutExpired:
        status = "its time over"
    finally:
        if child.poll() is None:  # With the processes that it started.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return status, time.monotonic() - start


def write_report(out: Path, name: str):
    r"""Writes the rows of all parts that have run as one JSON file and as tables."""
    rows = []
    for part in BOXES:
        path = out / f"{part}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows += [{"part": part, **json.loads(line)} for line in lines]
    text = "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"
    write_atomically(out / "rows.json", lambda file: file.write_text(text, encoding="utf-8"))
    page = as_table(rows, name)
    write_atomically(out / "table.md", lambda file: file.write_text(page, encoding="utf-8"))
    print("\n" + page)


if __name__ == "__main__":
    sys.exit(main())
