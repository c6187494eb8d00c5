import ctypes
import gc
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.speed.timing import synchronize

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
MIB = 2**20


def measure_peak(call: Callable[[], object], device: torch.device | str = "cpu") -> dict:
    r"""Runs a function once and returns the most memory it held at a time, above what was held before.

    On a CPU it is the resident memory of the process, whose high-water mark Linux keeps: nothing is
    sampled. Use a process of its own for each measurement, as what an earlier call left in the
    allocator is used again unseen (see :func:`~benchmarks.speed.child.run_in_child`).

    Returns:
        :obj:`peak_mib` and :obj:`seconds`, and in :obj:`memory` how it was measured: :obj:`"cuda"`
        allocations, :obj:`"rss"`, or :obj:`"maxrss"` where the mark cannot be reset, so that memory
        held and freed before hides some of the peak.
    """
    gc.collect()
    synchronize(device)
    if torch.device(device).type == "cuda":
        kind = "cuda"
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    else:
        kind, before = _reset_resident_peak()
    start = perf_counter()
    out = call()
    synchronize(device)
    seconds = perf_counter() - start
    if kind == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        peak = _status("VmHWM") if kind == "rss" else _max_resident()
    del out
    return {"peak_mib": max(0, peak - before) / MIB, "seconds": seconds, "memory": kind}


def available_memory() -> int | None:
    r"""The bytes of main memory that are free for use, or :obj:`None` where unknown."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    match = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return None if match is None else int(match[1]) * 1024


def limit_memory(limit: int):
    r"""Makes this process fail to allocate more than so many bytes beyond what it has, rather than be
    killed."""
    try:
        before = _status("VmData")
    except OSError:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = before + limit if hard == resource.RLIM_INFINITY else min(before + limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _reset_resident_peak() -> tuple[str, int]:
    try:  # What was freed goes back to the system, so that it is counted when it is used again.
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        pass
    try:
        CLEAR_REFS.write_text("5")
        return "rss", _status("VmHWM")
    except OSError:
        pass
    try:
        return "maxrss", _status("VmRSS")
    except OSError:
        return "maxrss", _max_resident()


def _status(key: str) -> int:
    return int(re.search(rf"{key}:\s+(\d+) kB", STATUS.read_text())[1]) * 1024


def _max_resident() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
