"""Build sdist and wheel from a copy of the sources, and try the wheel in a fresh virtual environment.

    python tools/check_wheel.py [--out DIR]

The environment holds the wheel alone and sees the packages of the Python that runs this, so nothing is
downloaded; it works in an empty folder, where there is neither `benchmarks/` nor `tests/`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("stofm_pyg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"

# Run in the fresh environment: from slices to a saved model and back.
TRY = """
import sys
from pathlib import Path

import torch

import stofm_pyg
from stofm_pyg import SToFM
from stofm_pyg.datasets import generate_tissue

assert Path(stofm_pyg.__file__).is_relative_to(sys.prefix), stofm_pyg.__file__
tissue = generate_tissue(2, 150, num_genes=40, num_unobserved=0, num_domains=3, num_cell_types=3)
model = SToFM.fit(
    tissue, preset="tiny", radius=3.0, num_features=8, device="cpu", num_workers=0, progress=False,
    config={"stage_1": {"num_epochs": 1, "max_steps": 2, "min_cells": 60, "max_cells": 100}},
)
model.embed(tissue)
model.save_pretrained("model")
loaded = SToFM.from_pretrained("model")
assert torch.equal(loaded.embed_anndata(tissue), torch.from_numpy(tissue.obsm["X_stofm"]))
shipped = SToFM.from_pretrained("generated-tissue")
fresh = generate_tissue(4, 100)
assert shipped.embed_anndata(fresh[fresh.obs["slice"] == "slice3"].copy()).isfinite().all()
"""


def run(command: list, cwd: Path) -> str:
    """Run a command; returns what it said, and ends with that where it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, check=False, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode != 0:
        words = " ".join(str(part) for part in command)[:100]
        raise SystemExit(f"{done.stdout}\nthis failed (exit {done.returncode}): {words}")
    return done.stdout


def build(root: Path, out: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist, so that both are whole; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        copy, unpacked = Path(folder) / "copy", Path(folder) / "unpacked"
        copy.mkdir()
        for name in SOURCES:
            if (root / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(root / name, copy / name, ignore=ignore)
            else:
                shutil.copy(root / name, copy / name)
        run([sys.executable, "-c", BUILD.format("sdist"), out.resolve()], copy)
        (sdist,) = out.glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (source,) = unpacked.iterdir()
        run([sys.executable, "-c", BUILD.format("wheel"), out.resolve()], source)
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def missing(root: Path, wheel: Path) -> list[str]:
    """The files of the package that the wheel has not, and those that it should not have."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for path in (root / "stofm_pyg").rglob("*") if path.is_file()]
    wanted = {
        path.relative_to(root).as_posix()
        for path in files
        if "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    return [f"not in the wheel: {name}" for name in sorted(wanted - held)] + [
        f"in the wheel, and not of the package: {name}" for name in sorted(held - wanted)
    ]


def make_environment(folder: Path) -> Path:
    """A fresh virtual environment that sees the packages installed here; returns its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    python = folder / "bin" / "python"
    (place,) = folder.glob("lib/python*/site-packages")
    # A folder named so is searched, but what is installed as editable there is not.
    (place / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def try_wheel(wheel: Path, folder: Path) -> str:
    """Install the wheel in a fresh environment, and use it; returns the version that it tells."""
    python = make_environment(folder / "venv")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--no-deps", "--no-index"]
    run([*pip, wheel.resolve()], folder)
    empty = folder / "empty"
    empty.mkdir()
    run([python, "-c", TRY], empty)
    return run([python.with_name("stofm"), "--version"], empty).split()[-1]


def check(root: Path, out: Path) -> tuple[Path, Path]:
    """Build and try; ends with what is wrong. Returns sdist and wheel."""
    start = time.monotonic()
    sdist, wheel = build(root, out)
    wrong = missing(root, wheel)
    if wrong:
        raise SystemExit("\n".join(wrong))
    with tempfile.TemporaryDirectory() as folder:
        version = try_wheel(wheel, Path(folder))
    if wheel.name.split("-")[1] != version:
        raise SystemExit(f"{wheel.name} tells its version as {version}")
    print(f"{wheel.name}: built, installed and used in a fresh venv, {time.monotonic() - start:.0f} s")
    return sdist, wheel


def main(arguments: list[str] | None = None) -> int:
    """Run the script; returns the exit status."""
    parser = argparse.ArgumentParser(description="Build sdist and wheel, and try the wheel.")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keeps both in an empty folder")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        check(ROOT, args.out or Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
