r"""Asks for known vulnerabilities of the pinned packages: `make audit`, or `python tools/audit.py`.

The pins of requirements.txt are read by pip-audit, which asks the advisories of PyPI (or, with
`--service osv`, of osv.dev). It is no part of the environment: `pip install pip-audit`. What can be said
without a network is said first: every package that setup.py asks for has an exact pin that suits.
Exits with 0 if nothing is known, 1 if something is, and 2 where nobody could be asked.
"""

import argparse
import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("pypi", "osv")
PIN = re.compile(r"([A-Za-z0-9._-]+)==([0-9][^\s;]*)\s*(?:;.*)?")
ASKED = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9.]+)")
UNREACHABLE = ("ConnectionError", "Max retries", "Temporary failure", "NewConnectionError", "timed out",
               "ServiceError", "HTTPError", "ProxyError")  # fmt: skip


def pins(text: str) -> dict[str, list[str]]:
    r"""Returns the versions of the packages of a requirements file, one for each Python.

    Raises:
        ValueError: A line is no exact pin; names it.
    """
    found: dict[str, list[str]] = {}
    for line in (line.partition("#")[0].strip() for line in text.splitlines()):
        if not line:
            continue
        match = PIN.fullmatch(line)
        if match is None:
            raise ValueError(f"'{line}' is no exact pin 'NAME==VERSION' of the index")
        found.setdefault(_normal(match[1]), []).append(match[2])
    return found


def asked(text: str) -> dict[str, str]:
    r"""Returns the packages that a setup.py requires, with the oldest version that it takes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            matches = [ASKED.fullmatch(word) for word in ast.literal_eval(node.value)]
            return {_normal(match[1]): match[2] for match in matches if match is not None}
    raise ValueError("setup.py has no 'install_requires'")


def unpinned(pinned: dict[str, list[str]], wanted: dict[str, str]) -> list[str]:
    r"""Returns what is wrong with pins: packages without one, and pins that are too old."""
    wrong = [f"'{name}' has no pin in requirements.txt" for name in wanted if name not in pinned]
    for name, oldest in wanted.items():
        for version in pinned.get(name, ()):
            if _numbers(version) < _numbers(oldest):
                wrong.append(f"'{name}=={version}' is older than {oldest}, which setup.py asks for")
    return wrong


def ask(command: Sequence[str]) -> tuple[int, str]:
    r"""Runs pip-audit; returns 0, 1 or 2 as the tool does, and what to print."""
    done = subprocess.run(command, capture_output=True, text=True)
    told = f"{done.stdout}\n{done.stderr}".strip()
    if done.returncode == 0:
        return 0, told
    if any(sign in told for sign in UNREACHABLE) or not done.stdout.strip():
        last = told.splitlines()[-1] if told else f"exit code {done.returncode}"
        return 2, f"Nothing was audited: the advisories cannot be had ({last}); try with a network"
    return 1, told


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--service", choices=SERVICES, default="pypi", help="default: pypi")
    args = parser.parse_args(argv)
    path = ROOT / "requirements.txt"
    try:
        pinned = pins(path.read_text(encoding="utf-8"))
        wrong = unpinned(pinned, asked((ROOT / "setup.py").read_text(encoding="utf-8")))
    except ValueError as error:
        wrong, pinned = [str(error)], {}
    print("\n".join(wrong) or f"{len(pinned)} packages have exact pins, which suit setup.py")
    if wrong:
        return 1
    if importlib.util.find_spec("pip_audit") is None:
        print("Nobody was asked: pip-audit is not installed; install it by 'pip install pip-audit'")
        return 2
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), "--no-deps"]
    command += ["--disable-pip", "--progress-spinner", "off", "--vulnerability-service", args.service]
    code, told = ask(command)
    print(told)
    return code


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))


if __name__ == "__main__":
    sys.exit(main())
