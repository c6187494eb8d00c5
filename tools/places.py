"""Where builds that save time are published, and whether they can be had from here, told in seconds."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import quote

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WHEELS = "https://data.pyg.org/whl"
SECONDS = 6  # for a name, a connection and an answer together
LARGEST = 2**24  # bytes of a page


def has_nvidia(environ):
    """Whether this machine has an NVIDIA GPU, or a driver of one."""
    if shutil.which("nvidia-smi", path=environ.get("PATH")) is not None:
        return True
    return os.path.exists("/proc/driver/nvidia") or os.path.exists("/dev/nvidiactl")


@functools.lru_cache(maxsize=None)  # noqa: UP033, an old Python is to be told that it is
def read_page(url, seconds=SECONDS):
    """The text of a page; None where it does not come in time, whatever the reason."""
    found = []

    def read():
        try:
            with urllib.request.urlopen(url, timeout=seconds) as page:
                found.append(page.read(LARGEST).decode("utf-8", errors="replace"))
        except (OSError, ValueError):
            pass

    # In a thread of its own, since looking up a name knows no time-out.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def names_file(page, start):
    """Whether a page of links has a file of which the name begins like that."""
    return page is not None and (start in page or quote(start) in page)


def cpu_index(version, environ):
    """The index of CPU builds, where one is wanted and has this torch; else None."""
    index = environ.get("STOFM_PYG_CPU_INDEX", CPU_INDEX).rstrip("/")
    # Elsewhere torch on PyPI is a CPU build.
    if not index or not sys.platform.startswith("linux") or has_nvidia(environ):
        return None
    return index if names_file(read_page(f"{index}/torch/"), f"torch-{version}+cpu-") else None


def wheel_links(name, version, torch, environ):
    """The page (or folder) of wheels for this torch, where it has the package; else None."""
    place = environ.get("STOFM_PYG_WHEELS", WHEELS).rstrip("/")
    if not place:
        return None
    if Path(place).expanduser().is_dir():
        return str(Path(place).expanduser())
    number, _, build = torch.partition("+")
    url = f"{place}/torch-{number}+{build or 'cpu'}.html"
    start = f"{name.replace('-', '_')}-{version}"
    return url if names_file(read_page(url), start) else None
