import json
import signal
import subprocess
import sys
from collections.abc import Sequence


def run_in_child(script: str, argv: Sequence[str], timeout: float | None = None) -> dict:
    r"""Runs a script in a process of its own and returns the JSON object in its last line of output.

    A run that fails gives a :obj:`note` that says why instead of an error.

    Args:
        script (str): Path of the script.
        argv (list of str): Its arguments.
        timeout (float, optional): Seconds after which it is stopped. (default: :obj:`None`)
    """
    command = [sys.executable, script, *argv]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"note": f"took longer than {timeout:.0f} s"}
    if done.returncode == -signal.SIGKILL:
        return {"note": "out of memory (killed)"}
    lines = done.stdout.strip().splitlines()
    try:
        out = json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        out = None
    if done.returncode == 0 and isinstance(out, dict):
        return out
    errors = done.stderr.strip().splitlines()
    return {"note": f"failed ({errors[-1] if errors else f'exit status {done.returncode}'})"}


def is_out_of_memory(error: BaseException) -> bool:
    r"""Tells whether an error says that memory could not be allocated, on a CPU or a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "not enough memory" in text or "can't allocate memory" in text or "out of memory" in text
    )
