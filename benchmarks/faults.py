r"""Whether anything is lost when commands are killed: `python benchmarks/faults.py [--kills 100]`.

Runs corpus build, fit, pretrain, embed, the benchmark and its report on tiny generated slices. Then
again, while each gets SIGKILL (or SIGTERM, --signal TERM) at random moments and is started anew, until
it ends by itself. What bears its own name must be whole after each kill, and all curves and files in the
end those of the run that was left alone, to the last bit; exits with 1 if they are not.
"""

import os

# A fork must find no threads, and sums must not depend on how many there are.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import platform  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Mapping  # noqa: E402
from dataclasses import asdict, dataclass, field  # noqa: E402
from datetime import date  # noqa: E402
from pathlib import Path  # noqa: E402
from time import perf_counter  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.kills.children import run  # noqa: E402
from benchmarks.kills.commands import NEEDS, SHARES, Command, commands, import_all, prepare  # noqa: E402
from benchmarks.kills.content import broken, content, is_left  # noqa: E402
from stofm_pyg import __version__  # noqa: E402
from stofm_pyg._files import write_atomically  # noqa: E402

SHORT = 12


@dataclass
class Found:
    r"""What came of a command that was killed.

    Args:
        seconds (float): How long it takes when it is left alone.
        kills (int): How often it was killed.
        ends (int): How often it then ended by itself.
        files (int): The files that were compared each time.
        curves (int): The curves that were compared each time.
        wrong (list[str]): What was not whole, or not as it should be.
    """

    seconds: float
    kills: int = 0
    ends: int = 0
    files: int = 0
    curves: int = 0
    wrong: list[str] = field(default_factory=list)

    def compare(self, one: Mapping[str, object], other: Mapping[str, object], out: Path):
        r"""Compares what a run left behind with what it should have."""
        self.ends += 1
        self.curves = sum(isinstance(value, list) for value in one.values())
        self.files = len(one) - self.curves
        names = sorted({*one, *other})
        self.wrong += [f"different: {name}" for name in names if one.get(name) != other.get(name)]
        self.wrong += [f"left behind: {p.relative_to(out)}" for p in out.rglob("*") if is_left(p)]


def kill(
    command: Command, folder: Path, kills: int, draw: random.Random, sent: signal.Signals
) -> Found:
    r"""Kills a command at random moments, starts it again until it ends, and compares what is there.

    Args:
        command (Callable): Writes to a folder that it is given.
        folder (Path): Where to.
        kills (int): How often it is killed.
        draw (random.Random): Draws the moments, from its start to the time that it takes.
        sent (signal.Signals): What it is killed by.
    """
    whole, out, log = folder / "whole", folder / "broken", folder / "log"
    before = perf_counter()
    run(lambda: command(whole), log)
    found = Found(perf_counter() - before)
    expected = content(whole)
    while found.kills < kills:
        if run(lambda: command(out), log, draw.uniform(0, found.seconds), sent):
            found.compare(expected, content(out), out)
            shutil.rmtree(out)
            continue
        found.kills += 1
        found.wrong += [f"not whole: {name}" for name in broken(out)]
    run(lambda: command(out), log)
    found.compare(expected, content(out), out)
    return found


def shares(kills: int, names: list[str]) -> dict[str, int]:
    r"""Deals kills to commands, each at least one."""
    total = sum(SHARES[name] for name in names)
    dealt = {name: max(1, kills * SHARES[name] // total) for name in names}
    for name in sorted(names, key=lambda name: -SHARES[name])[: max(0, kills - sum(dealt.values()))]:
        dealt[name] += 1
    return dealt


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of all commands (default: 100)")
    parser.add_argument("--short", action="store_true", help=f"{SHORT} kills")
    parser.add_argument("--only", default=",".join(SHARES), help="of the commands (default: all)")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL", help="default: KILL")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--out", type=Path, help="a JSON file for what was found")
    args = parser.parse_args(argv)
    names = args.only.split(",")
    unknown = [name for name in names if name not in SHARES]
    if unknown:
        parser.error(f"--only: unknown command '{unknown[0]}'; known: {', '.join(SHARES)}")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # It tells of each break.
    sent, draw, start = signal.Signals[f"SIG{args.signal}"], random.Random(args.seed), perf_counter()
    results: dict[str, Found] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        import_all()
        parts = [NEEDS[command] for command in names if command in NEEDS]
        run(lambda: prepare(folder, args.seed, parts), folder / "log")
        known = commands(folder, args.seed)
        for command, kills in shares(SHORT if args.short else args.kills, names).items():
            (folder / f"killed-{command}").mkdir()
            found = kill(known[command], folder / f"killed-{command}", kills, draw, sent)
            results[command] = found
            print(
                f"{command:9s} {found.kills:4d} kills, {found.ends:3d} ends, {found.files:3d} files and "
                f"{found.curves:2d} curves compared each time, {found.seconds:.1f} s undisturbed: "
                f"{len(found.wrong)} wrong",
                flush=True,
            )
            print("".join(f"    {line}\n" for line in found.wrong), end="", flush=True)
    wrong = sum(len(found.wrong) for found in results.values())
    total = sum(found.kills for found in results.values())
    print(f"{total} times {sent.name}, {perf_counter() - start:.0f} s: {wrong or 'nothing'} wrong")
    if args.out is not None:
        values = {
            "date": str(date.today()), "version": __version__, "python": platform.python_version(),
            "signal": sent.name, "seed": args.seed, "kills": total, "wrong": wrong,
            "commands": {name: asdict(found) for name, found in results.items()},
        }  # fmt: skip
        args.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(values, indent=1) + "\n"
        write_atomically(args.out, lambda part: part.write_text(text, encoding="utf-8"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
