r"""What the parts of the check on a GPU share: a box of time, and rows that are kept as soon as they are
measured."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.speed.harness import machine_line, number
from stofm_pyg.train import find_device


class Part:
    r"""One part of the check in a process of its own.

    Args:
        args (argparse.Namespace): What :meth:`main` parsed.
    """

    def __init__(self, args: argparse.Namespace):
        self.smoke: bool = args.smoke
        self.official: str | None = args.official
        self.device = find_device("cpu" if args.smoke else "cuda")
        self.num_rows = 0
        self._path, self._end = args.rows, time.monotonic() + args.seconds
        self._machine = machine_line(self.device)

    @property
    def left(self) -> float:
        r"""The seconds that are left of the box."""
        return self._end - time.monotonic()

    def has_time(self, case: str, seconds: float = 0.0) -> bool:
        r"""Whether so many seconds are left; if not, a row says that a case was left out."""
        if self.left > seconds:
            return True
        self.row(case=case, note="left out: the time of this part is over")
        return False

    def row(self, **values: object):
        r"""Keeps and shows a row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**values, "machine": self._machine}) + "\n")
        self.num_rows += 1
        shown = {k: number(v) if isinstance(v, float) else str(v) for k, v in values.items()}
        print(", ".join(f"{key} {value}" for key, value in shown.items()), flush=True)

    @classmethod
    def main(cls, run: Callable[["Part"], None], argv: list[str] | None = None) -> int:
        r"""Runs a part by the command line that :mod:`benchmarks.gpu.check` gives it."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--rows", type=Path, required=True)
        parser.add_argument("--seconds", type=float, required=True)
        parser.add_argument("--smoke", action="store_true")
        parser.add_argument("--official")
        args = parser.parse_args(argv)
        if args.smoke:
            torch.set_num_threads(min(2, torch.get_num_threads()))
        try:
            run(cls(args))
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
