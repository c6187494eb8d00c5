import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# tqdm's: "stage_1:  25%|##5       | 3/12 [00:00<...". Every step is drawn, see ENVIRONMENT.
BAR = re.compile(r"(\w+):\s+\d+%\|[^|]*\|\s*(\d+)/(\d+) \[")
ENVIRONMENT = {"TQDM_MININTERVAL": "0", "TQDM_MINITERS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Outcome:
    r"""How a command ended.

    Args:
        code (int): Its exit code, negative for the signal that ended it.
        steps (dict): By the name of a progress bar, the first and the last step that it showed.
        totals (dict): By the name, the number of its steps.
        signalled (tuple, optional): The bar and the step at which the signal was sent.
        errors (str): The last of what it wrote to standard error.
    """

    code: int
    steps: Mapping[str, tuple[int, int]]
    totals: Mapping[str, int]
    signalled: tuple[str, int] | None
    errors: str


def run_until(
    command: Sequence[str],
    at: tuple[str, int] | None = None,
    number: signal.Signals = signal.SIGKILL,
    delay: float = 0.0,
    bars: Sequence[str] = (),
    cwd: Path | None = None,
) -> Outcome:
    r"""Runs a command, reads its progress bars, and sends it and its children a signal at a step.

    Args:
        command (list of str): The command.
        at (tuple, optional): The name of a bar and a step; the signal is sent when the bar shows that
            step or a later one. If :obj:`None`, the command runs to its end. (default: :obj:`None`)
        number (signal.Signals, optional): The signal. (default: :obj:`SIGKILL`)
        delay (float, optional): Seconds to wait before it is sent. (default: :obj:`0.0`)
        bars (list of str, optional): The bars in their order: those behind that of :obj:`at` count as
            later, too. (default: :obj:`()`)
        cwd (Path, optional): Where to run it. (default: :obj:`None`)
    """
    steps: dict[str, tuple[int, int]] = {}
    totals: dict[str, int] = {}
    signalled, tail = None, ""
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT},
        start_new_session=True,
    )
    try:
        while chunk := os.read(process.stderr.fileno(), 65_536):
            tail += chunk.decode(errors="replace")
            for name, step, total in BAR.findall(tail):
                steps[name] = (steps.get(name, (int(step),))[0], int(step))
                totals[name] = int(total)
                if signalled is None and at is not None and reached((name, int(step)), at, bars):
                    time.sleep(delay)
                    signalled = (name, int(step))
                    # The group, as a cluster does: its loading processes, too.
                    os.killpg(process.pid, number)
            tail = tail[-4000:]
        code = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stderr.close()
    return Outcome(code, steps, totals, signalled, tail)


def reached(now: tuple[str, int], at: tuple[str, int], bars: Sequence[str]) -> bool:
    r"""Whether a run has come to a step.

    Args:
        now (tuple): The bar and the step where it is.
        at (tuple): Those to come to.
        bars (list of str): All bars in their order; others are not looked at.
    """
    if now[0] == at[0]:
        return now[1] >= at[1]
    order = list(bars)
    return now[0] in order and at[0] in order and order.index(now[0]) > order.index(at[0])
