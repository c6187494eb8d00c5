import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

# How often a child is looked after, in seconds.
TICK = 0.005
CODE_OF_TERM = 143


def start(function: Callable[[], int], log: Path) -> int:
    r"""Forks a process, which has imported by then what this one has, and returns its number.

    Args:
        function (Callable): What it runs; returns its exit status.
        log (Path): Where its output goes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid > 0:
        return pid
    status = 1
    try:
        os.setsid()  # A group of its own, so that its own children are killed with it.
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = sys.stderr = os.fdopen(file, "w", buffering=1)
        status = function()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(
    function: Callable[[], int],
    log: Path,
    seconds: float | None = None,
    sent: signal.Signals = signal.SIGKILL,
) -> bool:
    r"""Runs a function in a process, sends it and its children a signal after a time, and returns
    whether it ended by itself.

    Args:
        function (Callable): Returns an exit status.
        log (Path): Where its output goes.
        seconds (float, optional): The time; without, there is no signal. (default: :obj:`None`)
        sent (signal.Signals, optional): The signal. (default: :obj:`signal.SIGKILL`)

    Raises:
        ValueError: It failed; with the end of its output.
    """
    pid = start(function, log)
    end = None if seconds is None else time.perf_counter() + seconds
    killed = False
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == pid:
            break
        if end is not None and not killed and time.perf_counter() >= end:
            _signal_group(pid, sent)
            killed = True
        time.sleep(TICK)
    _signal_group(pid, signal.SIGKILL)  # Whatever it has started and left.
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return True
    if killed and code in (-sent, CODE_OF_TERM if sent == signal.SIGTERM else -sent):
        return False
    output = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    raise ValueError(f"The command ended with exit code {code}: {output[-800:].strip()}")


def _signal_group(pid: int, sent: signal.Signals):
    try:
        os.killpg(pid, sent)
    except ProcessLookupError:
        pass
    except PermissionError:  # Of a group that holds nothing but what has ended.
        pass
