import hashlib
import os
import re
import secrets
import shutil
import socket
from functools import cache
from pathlib import Path

# What a file is called while it is written, and a folder: by which process, on which machine.
LEFT = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp|\.saving-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}")
_cleared: set[Path] = set()


def part_of(path: Path) -> Path:
    r"""Returns a name beside a file, under which it is written."""
    return path.with_name(f".{path.name}.{_process()}-{secrets.token_hex(4)}.tmp")


def part_in(directory: Path) -> Path:
    r"""Returns a name in a folder for another one, in which its files are written."""
    return directory / f".saving-{_process()}-{secrets.token_hex(4)}"


def clear_left(directory: Path):
    r"""Removes what processes of this machine were writing in a folder when they were killed. It looks
    once in a process."""
    if directory in _cleared or os.name != "posix":
        return
    _cleared.add(directory)
    try:
        names = os.listdir(directory)
    except OSError:  # Whoever writes there will say so.
        return
    for name in names:
        match = LEFT.fullmatch(name)
        if match is None:
            continue
        machine, pid = (match[1], match[2]) if match[1] else (match[3], match[4])
        if machine != _machine() or is_alive(int(pid)):
            continue
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    r"""Whether there is a process of a number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _process() -> str:
    return f"{_machine()}-{os.getpid()}"


@cache
def _machine() -> str:
    # Numbers of processes mean something on one machine, and there in one container.
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]
