import gc
import statistics
from collections.abc import Callable, Mapping
from time import perf_counter

import torch


def time_sides(
    sides: Mapping[str, Callable[[], object]],
    repeats: int = 5,
    warmup: int = 1,
    seconds: float | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, dict]:
    r"""Times several sides in this process, taking turns, so that what slows the machine down for a
    while slows all of them down.

    Args:
        sides (dict): What to time, by name.
        repeats (int, optional): Timed runs of each side. (default: :obj:`5`)
        warmup (int, optional): Runs of each side before. (default: :obj:`1`)
        seconds (float, optional): About how long a side may take in all. A slow side gets fewer runs,
            and where even a warm-up run takes more than half of it, that run counts.
            (default: :obj:`None`)
        device (torch.device or str, optional): The device to wait for. (default: :obj:`"cpu"`)

    Returns:
        For each side :obj:`median_s`, :obj:`min_s`, :obj:`max_s` in seconds, and :obj:`repeats`.
    """
    gc.collect()
    gc.freeze()  # Else each collection between runs would walk through all that was ever imported.
    try:
        times = _take_turns(sides, repeats, warmup, seconds, device)
    finally:
        gc.unfreeze()
    return {
        name: {
            "median_s": statistics.median(values),
            "min_s": min(values),
            "max_s": max(values),
            "repeats": len(values),
        }
        for name, values in times.items()
    }


def _take_turns(sides, repeats, warmup, seconds, device) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    wanted = dict.fromkeys(sides, repeats)
    for name, call in sides.items():
        for _ in range(warmup):
            last = _time(call, device)
        if warmup and seconds is not None:
            wanted[name] = max(1, min(repeats, int(seconds / last)))
            if last > seconds / 2:
                times[name], wanted[name] = [last], 0

    for turn in range(repeats):
        # Nobody always runs after the same other side, whose leftovers fill the caches.
        for name in sides if turn % 2 == 0 else reversed(sides):
            if turn < wanted[name]:
                times[name].append(_time(sides[name], device))
    return times


def _time(call: Callable[[], object], device: torch.device | str) -> float:
    gc.collect()
    synchronize(device)
    start = perf_counter()
    out = call()
    synchronize(device)
    elapsed = perf_counter() - start
    del out
    return elapsed


def synchronize(device: torch.device | str):
    r"""Waits until a device has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
