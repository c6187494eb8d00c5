"""How the set-up runs commands: standard library only, as nothing is installed yet."""

from __future__ import annotations

import os
import shlex
import subprocess
import time


class SetupError(Exception):
    """A step that cannot be done: the message names the command that failed and the mend."""


def say(text):
    print(text, flush=True)


def pip_environment():
    """The environment with what pip needs to neither ask nor refuse to install in a venv."""
    return {
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_USER": "0",
    }


def call(command, env=None, log=None):
    """Run a command and return its exit status; with `log`, its output goes there."""
    if log is None:
        return subprocess.call(command, env=env, stdin=subprocess.DEVNULL)
    start = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    return process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    say(f"  ... {(time.monotonic() - start) / 60:.0f} min so far")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def step(command, mend):
    """Run a command that has to succeed."""
    command = [str(part) for part in command]
    status = call(command, env=pip_environment())
    if status != 0:
        raise SetupError(f"this command failed (exit {status}): {shlex.join(command)}\n{mend}")
