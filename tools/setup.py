"""Set up stofm_pyg in `.venv`; idempotent, and a finished set-up is recognised at once.

Order: the virtual environment, what builds packages, torch, torch-cluster and torch-scatter (which
need torch to build), the rest of requirements.txt, and stofm_pyg itself as an editable install.

On Linux without an NVIDIA GPU torch is the CPU build (a tenth of the size), where PyTorch's index of
those answers within seconds, else what pip finds.

The two extensions are taken from the wheel cache, else prebuilt from where PyG publishes them for the
very torch or from wherever pip looks (set `PIP_FIND_LINKS` to add a place), else compiled on all cores,
once per machine. Where that cannot be done the set-up says so and goes on without. It is tried again
after a change of what is installed (requirements.txt, setup.py, the scripts here), when a compiler
appears where there was none, and by `--retry` (`make setup`).

Environment variables:
    TORCH_INDEX_URL: index to take torch from, whatever this machine has; to exchange a torch that is
        already there, `make clean` first.
    STOFM_PYG_CPU_INDEX: index of CPU builds, by default https://download.pytorch.org/whl/cpu; empty:
        none.
    STOFM_PYG_WHEELS: where wheels of the extensions are, by default https://data.pyg.org/whl; a folder
        will do; empty: nowhere.
    STOFM_PYG_CACHE: wheel cache, by default `~/.cache/stofm_pyg/wheels` (or below XDG_CACHE_HOME).
    CXX, CFLAGS, CXXFLAGS, MAX_JOBS, CUDA_HOME, FORCE_CUDA, FORCE_ONLY_CPU: as in any build.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from extensions import EXTENSIONS, add_extensions, find_compiler
from places import cpu_index
from processes import SetupError, call, pip_environment, say, step

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 10)
BUILD_TOOLS = ("setuptools", "wheel", "ninja")
STAMP = ".venv/setup-stamp.json"
DECIDING = (
    "requirements.txt",
    "setup.py",
    "tools/setup.py",
    "tools/extensions.py",
    "tools/places.py",
    "tools/processes.py",
)

# Run by the Python of the venv: whether it has this torch, of whatever build.
IS_THERE = """
import sys
from importlib.metadata import version
sys.exit(version("torch").split("+")[0] != sys.argv[1])
"""


def read_pins(requirements):
    """Versions of the packages that are pinned alike for every Python: name -> version."""
    return dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)[ \t]*(?:#.*)?$", requirements, re.MULTILINE))


def without(requirements, names):
    """The text of requirements.txt without the lines of `names`."""
    unwanted = re.compile(rf"(?:{'|'.join(map(re.escape, names))})(?![\w.-])")
    lines = requirements.splitlines(keepends=True)
    return "".join(line for line in lines if not unwanted.match(line))


def venv_version(root):
    """(major, minor) of the venv's Python without starting it; None where the venv is broken."""
    try:
        config = (root / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+)\.(\d+)", config, re.MULTILINE)
    if found is None or not (root / ".venv" / "bin" / "python").exists():
        return None
    return int(found[1]), int(found[2])


def stamp_hash(root):
    """Hash of all that decides what a set-up installs, and of where it stands."""
    digest = hashlib.sha256(repr((str(root), venv_version(root))).encode())
    for name in DECIDING:
        digest.update(hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()


def is_finished(root, retry=False):
    """Whether the set-up is done; starts no process and imports nothing heavy."""
    try:
        stamp = json.loads((root / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if venv_version(root) is None or stamp.get("hash") != stamp_hash(root):
        return False
    if not stamp["missing"]:
        return True
    if retry or (stamp["compiler"] is None and find_compiler(os.environ) is not None):
        return False
    say(f"(without {' and '.join(stamp['missing'])}: `make setup` tries again to build)")
    return True


def write_stamp(root, missing):
    compiler = find_compiler(os.environ)
    stamp = {"hash": stamp_hash(root), "missing": missing, "compiler": compiler}
    part = root / (STAMP + ".part")
    part.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    os.replace(part, root / STAMP)


def make_venv(root):
    """Make `.venv`, or mend a broken one; one that works is kept, whatever made it."""
    version = venv_version(root)
    if version is not None and version >= OLDEST_PYTHON:
        python = str(root / ".venv" / "bin" / "python")
        has_pip = [python, "-c", "import pip"]
        if call(has_pip, log=os.devnull) == 0:
            return
        call([python, "-m", "ensurepip"], log=os.devnull)
        if call(has_pip, log=os.devnull) == 0:
            return
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(
            f"Python {sys.version.split()[0]} ({sys.executable}) is too old, 3.10 or newer is "
            "needed\nName another one: make PYTHON=python3.12 ..."
        )
    if (root / ".venv").exists():
        say("  .venv is broken or unfinished: made anew")
    base = getattr(sys, "_base_executable", None) or sys.executable
    step(
        [base, "-m", "venv", "--clear", root / ".venv"],
        "Install Python's venv module (Debian, Ubuntu: apt install python3-venv), or name another "
        "Python: make PYTHON=python3.12 ...",
    )


def add_torch(python, pip, version, mend):
    """Install torch: from the index that the user names, else the CPU build where that will do."""
    torch = f"torch=={version}"
    index = os.environ.get("TORCH_INDEX_URL")
    if index:
        return step([*pip, torch, "--index-url", index], mend)
    is_there = call([python, "-c", IS_THERE, version], log=os.devnull) == 0
    index = None if is_there else cpu_index(version, os.environ)
    if index is not None:
        say(f"  no NVIDIA GPU here: the CPU build, from {index}")
        # Beside where pip looks by itself: all that torch needs comes from there as before.
        if call([*pip, torch, "--extra-index-url", index], env=pip_environment()) == 0:
            return None
        say("  that did not work: torch from where pip looks by itself")
    return step([*pip, torch], mend)


def set_up(root):
    """All steps; each is quick where it was done before, so an interrupted set-up goes on."""
    start = time.monotonic()
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    pins = read_pins(requirements)
    python = root / ".venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install"]
    mend = "pip's message is above: network, proxy, disk space? Mend that and run the same again."

    say("[1/6] virtual environment .venv")
    make_venv(root)
    say("[2/6] pip, " + ", ".join(BUILD_TOOLS))
    step([*pip, "-qq", "--upgrade", "pip"], mend)
    step([*pip, "-qq", *(f"{name}=={pins[name]}" for name in BUILD_TOOLS)], mend)

    say(f"[3/6] torch {pins['torch']} (several GB with CUDA; TORCH_INDEX_URL names another build)")
    add_torch(python, pip, pins["torch"], mend)

    say("[4/6] " + ", ".join(EXTENSIONS))
    missing = add_extensions(python, pins)

    say("[5/6] the rest of requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder) / "requirements.txt"
        rest.write_text(without(requirements, EXTENSIONS), encoding="utf-8")
        step([*pip, "-qq", "-r", rest], mend)

    say("[6/6] stofm_pyg, editable")
    step([*pip, "-qq", "--no-deps", "--no-build-isolation", "-e", root], mend)
    write_stamp(root, missing)
    say(f"set-up finished in {time.monotonic() - start:.0f} s")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Set up stofm_pyg in .venv.")
    parser.add_argument("--retry", action="store_true", help="build again what could not be built")
    retry = parser.parse_args(arguments).retry
    try:
        if not is_finished(ROOT, retry):
            set_up(ROOT)
    except (SetupError, OSError) as error:
        hint = "" if isinstance(error, SetupError) else "\nMend that and run the same again."
        print(f"\nset-up failed: {error}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: run the same again and it goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
