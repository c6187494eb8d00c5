import os
import platform
import re
from datetime import date
from pathlib import Path

import torch


def describe_machine(device: torch.device | str = "cpu") -> dict:
    r"""What a measurement needs beside it: processor, cores, threads, memory, GPU, versions, date."""
    out = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory(),
        "gpu": None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }
    if torch.device(device).type == "cuda":
        out["gpu"] = torch.cuda.get_device_name(device)
    return out


def machine_line(machine: dict) -> str:
    r"""The machine in one line of text."""
    memory = "" if machine["memory_gib"] is None else f", {machine['memory_gib']} GiB"
    gpu = "" if machine["gpu"] is None else f"{machine['gpu']}; "
    return (
        f"{gpu}{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads{memory}; "
        f"torch {machine['torch']}, Python {machine['python']}; {machine['date']}"
    )


def _cpu_model() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        match = None
    return match[1].strip() if match else platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError, AttributeError):
        return None
