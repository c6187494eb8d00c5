r"""Part 2 of the check on a GPU: the encoder against the official code and against plain attention."""

import sys
from collections.abc import Callable, Iterator

import torch

from benchmarks.gpu.part import Part
from benchmarks.speed.harness import high_water, time_in_turns
from benchmarks.speed.se2_transformer import AUTO, FORWARD, OFFICIAL, PLAIN, TRAINING, SE2Benchmark

# Subpatches, cells of each, bfloat16; what an aim is set for comes first.
SIZES = [(16, 1000, False), (16, 1000, True), (1, 20_000, False), (1, 1000, False), (1, 1000, True),
         (1, 4000, False), (1, 4000, True), (1, 20_000, True), (16, 250, False), (16, 250, True),
         (16, 4000, False), (16, 4000, True), (1, 250, False), (1, 250, True)]  # fmt: skip
SMOKE = [(2, 40, False), (2, 40, True), (1, 60, False)]
SMALL = ["--layers", "2", "--heads", "2", "--channels", "16", "--gaussians", "8", "--virtual-cells", "4"]
# The official code keeps some matrices of so many numbers for each pair.
OFFICIAL_PAIRS = {FORWARD: 20e6, TRAINING: 8e6}
GIB = 1024
#: Case, subpatches, cells, bfloat16 (or either) to the aim: over what, at least how many times as fast.
SPEED = {(FORWARD, 16, 1000, False): (OFFICIAL, 20.0), (FORWARD, 16, 1000, True): (PLAIN, 0.5)}
#: The same to the largest MiB.
MEMORY = {(FORWARD, 1, 100_000, False): 20 * GIB, (TRAINING, 1, 20_000, False): 40 * GIB}


def run(part: Part):
    r"""Measures all sizes, the most wanted first."""
    sizes = [(case, *size) for size in (SMOKE if part.smoke else SIZES) for case in (FORWARD, TRAINING)]
    if not part.smoke:  # One piece as large as a slice, once, without anything to compare it with.
        sizes.insert(6, (FORWARD, 1, 100_000, False))
    if part.official is None:
        part.row(case="layer", side=OFFICIAL, note="left out: give a checkout by --official DIR")
    for size in sizes:
        if part.has_time(" ".join(map(str, size)), 0.0 if part.smoke else 10.0):
            measure(part, *size)


def measure(part: Part, case: str, batch: int, cells: int, bf16: bool):
    r"""Measures the sides of one size; one that does not fit leaves a note."""
    argv = [f"--batch={batch}", f"--device={part.device}", *["--bf16"] * bf16, *SMALL * part.smoke]
    argv += [f"--official={part.official}"] * (part.official is not None)
    bench = SE2Benchmark(SE2Benchmark.parse([*argv, "--cells", str(cells)]))
    head = {"case": case, "batch": batch, "cells": cells, "dtype": "bfloat16" if bf16 else "float32"}
    calls, rows = {}, {}
    for side in (OFFICIAL, AUTO, PLAIN):
        if reason := left_out(part, side, case, batch, cells):
            part.row(**head, side=side, note=reason) if reason != "no checkout" else None
            continue
        try:
            calls[side] = bench.build(case, side, cells)
            rows[side] = {"peak_mib": peak(calls[side], part.device)}
        except torch.OutOfMemoryError as error:
            calls.pop(side, None)
            part.row(**head, side=side, note=f"does not fit ({str(error).splitlines()[0][:120]})")
            torch.cuda.empty_cache()
    added = bench.check(case, cells, calls)
    times = time_in_turns(calls, 1 if part.smoke or cells > 20_000 else 3)
    for side in calls:
        rows[side] |= {"seconds": times[side]["median_s"], **added.get(side, {})}
    for side, row in rows.items():
        notes = aims(side, rows, (case, batch, cells, bf16)) if side == AUTO else []
        part.row(**head, side=side, **row, **note_of(notes))


def left_out(part: Part, side: str, case: str, batch: int, cells: int) -> str | None:
    r"""Why a side is not measured."""
    if side == OFFICIAL and part.official is None:
        return "no checkout"
    if side == OFFICIAL and batch * cells**2 > OFFICIAL_PAIRS[case]:
        return "left out: too large for the official code"
    return "left out: nothing to compare with" if side == PLAIN and cells > 20_000 else None


def peak(call: Callable[[], object], device: torch.device) -> float:
    r"""The most MiB that a call takes above what was there; what is compiled is compiled before."""
    call()
    before = high_water(device, reset=True)
    call()
    return high_water(device) - before


def aims(side: str, rows: dict[str, dict], size: tuple) -> Iterator[str]:
    r"""Yields how often a side goes into the others, and whether that is what was aimed at."""
    mine = rows[side]
    for other in (OFFICIAL, PLAIN):
        if other in rows:
            ratio = rows[other]["seconds"] / mine["seconds"]
            wanted = SPEED.get(size)
            said = f"{other} / this: {ratio:.3g}"
            if wanted is not None and wanted[0] == other:
                said += f" (aim {wanted[1]:g}: {'met' if ratio >= wanted[1] else 'missed'})"
            yield said
    if size in MEMORY:
        met = "met" if mine["peak_mib"] <= MEMORY[size] else "missed"
        yield f"{mine['peak_mib'] / GIB:.3g} GiB (aim under {MEMORY[size] / GIB:g}: {met})"


def note_of(notes) -> dict[str, str]:
    r"""Notes as a part of a row."""
    text = "; ".join(notes)
    return {"note": text} if text else {}


if __name__ == "__main__":
    sys.exit(Part.main(run))
