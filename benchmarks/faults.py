r"""Whether pre-training loses anything when it is killed: `python benchmarks/faults.py [--kills 20]`.

Trains `python -m stofm_pyg pretrain` on a small generated corpus as a whole. Then again, while it gets
SIGKILL (or SIGTERM, --signal TERM) at random moments and the same command is started anew, until it ends
by itself. All curves must be the same to the last digit, weights and all other files to the last bit;
exits with 1 if they are not.
"""

import argparse
import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from stofm_pyg.corpus import build_corpus  # noqa: E402
from stofm_pyg.data import GeneVocab, SliceSettings  # noqa: E402
from stofm_pyg.datasets import generate_tissue  # noqa: E402
from stofm_pyg.train import EXIT_TERMINATED  # noqa: E402

UNLIKE = ("cells_per_second", "loading_share", "memory_mib")  # The clock's and the machine's.
WORKING = ("checkpoints", "tensorboard")
CONFIG = {
    "adaptation": {"num_steps": 10, "max_tokens": 1024},
    "stage_1": {"num_epochs": 3, "save_every": 3, "evaluate_every": 8},
    "stage_2": {"num_epochs": 2, "save_every": 2, "evaluate_every": 8, "max_tokens": 512},
}


def make_command(folder: Path, seed: int) -> list[str]:
    r"""Builds a corpus of generated tissue, and returns what trains on it but for its :obj:`--out`."""
    adata = generate_tissue(4, 160, num_genes=40, num_unobserved=0, seed=seed)
    adata.write_h5ad(folder / "tissue.h5ad")
    settings = SliceSettings(cells_per_part=40, radius=3.0, num_features=5, max_length=32)
    build_corpus([folder / "tissue.h5ad"], folder / "corpus", GeneVocab.from_slices([adata]), settings)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    options = f"--preset tiny --seed {seed} --device cpu --resume auto --config {folder / 'config.json'}"
    command = [sys.executable, "-m", "stofm_pyg", "pretrain", "--corpus", str(folder / "corpus")]
    return command + options.split()


def run(command: Sequence[str], seconds: float | None = None, sent=signal.SIGKILL) -> bool:
    r"""Runs a command, sends it and its children a signal after so many seconds, and returns whether it
    ended by itself. Raises a :class:`ValueError` if it failed."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, **pipes)
    try:
        errors = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, sent)
        errors = process.communicate()[1]
        if process.returncode == (EXIT_TERMINATED if sent == signal.SIGTERM else -sent):
            return False
    if process.returncode != 0:
        raise ValueError(f"The run ended with exit code {process.returncode}: {errors[-500:].strip()}")
    return True


def interrupt(command: Sequence[str], kills: int, start: float, training: float, seed: int, sent):
    r"""Runs a command to its end, ended by signals at random moments of the seconds of its training,
    which follow those of its start; returns how many signals there were."""
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0, training) for _ in range(kills))
    for number, (before, moment) in enumerate(zip([0.0, *moments], moments, strict=False)):
        seconds = start + moment - before
        if run(command, seconds, sent):
            return number
        print(f"{number + 1:3d}  {sent.name} after {seconds:.1f} s", flush=True)
    run(command)
    return kills


def content(out: Path) -> dict[str, object]:
    r"""The points of each curve of a run, and a hash of each of its other files, but for checkpoints."""
    found: dict[str, object] = {}
    for folder in (out / "tensorboard").glob("*"):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            if not tag.endswith(UNLIKE):  # Written out, as nothing equals NaN, and zero its negative.
                found[f"{folder.name}/{tag}"] = [(e.step, repr(e.value)) for e in events.Scalars(tag)]
    for path in (path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out)
        if name.parts[0] not in WORKING and path.suffix != ".tmp":  # Killed runs leave temporary files.
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="signals that are sent (default: 20)")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL", help="default: KILL")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    args = parser.parse_args(argv)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # It tells of each break.
    with tempfile.TemporaryDirectory() as name:
        sent, times = signal.Signals[f"SIG{args.signal}"], []
        command = make_command(Path(name), args.seed)
        for _ in range(2):  # The second time nothing is left to do but to start.
            times.append(perf_counter())
            run([*command, "--out", f"{name}/whole"])
        start = perf_counter() - times[1]
        training = max(0.0, times[1] - times[0] - start)
        broken = [*command, "--out", f"{name}/broken"]
        killed = interrupt(broken, args.kills, start, training, args.seed, sent)
        one, other = content(Path(name, "whole")), content(Path(name, "broken"))
    wrong = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    points = [len(value) for value in one.values() if isinstance(value, list)]
    print(f"{killed} times {sent.name}, {perf_counter() - times[0]:.0f} s")
    print(f"{len(points)} curves of {sum(points)} points and {len(one) - len(points)} files compared")
    print("".join(f"DIFFERENT: {name}\n" for name in wrong) or "Nothing differs.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
