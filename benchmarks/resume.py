r"""Whether pre-training loses anything when it is killed: `python benchmarks/resume.py [--kills 20]`.

Trains `python -m stofm_pyg pretrain --preset tiny` on a small generated corpus as a whole. Then again,
while the process gets SIGKILL (or SIGTERM, --signal TERM) at random steps and the same command is
started anew with `--resume auto`, until it ends by itself. All curves in the TensorBoard files must be
the same to the last digit, final weights and all other files of the run to the last bit; exits with 1
if they are not.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.compare_runs import (  # noqa: E402
    curve_differences,
    file_differences,
    left_over,
    read_curves,
    weights,
)
from benchmarks.interrupted_run import Outcome, run_until  # noqa: E402
from benchmarks.quiet import quiet  # noqa: E402
from benchmarks.speed.harness import exit_status  # noqa: E402
from stofm_pyg.corpus import CorpusSettings, build_corpus  # noqa: E402
from stofm_pyg.data import GeneVocab  # noqa: E402
from stofm_pyg.datasets import generate_tissue  # noqa: E402
from stofm_pyg.train.engine.termination import EXIT_TERMINATED  # noqa: E402

BARS = ("adaptation", "stage_1", "stage_2")
SLICES, CELLS_PER_SLICE, CELLS_PER_PART = 4, 160, 40
CONFIG = {
    "cell_encoder": {
        "hidden_channels": 16, "num_layers": 1, "ffn_channels": 16, "max_length": 32,
        "out_channels": 16, "dropout": 0.1,
    },
    "model": {"hidden_channels": 16, "num_layers": 1, "ffn_channels": 16, "num_gaussians": 8},
    "adaptation": {"num_steps": 10, "max_tokens": 1024},
    "stage_1": {"num_epochs": 3, "save_every": 3, "evaluate_every": 8},
    "stage_2": {"num_epochs": 2, "save_every": 2, "evaluate_every": 8, "max_tokens": 512},
    "held_out_draws": 1,
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = out.add_argument
    add("--kills", type=int, default=20, help="signals that are sent (default: 20)")
    add("--signal", choices=("KILL", "TERM"), default="KILL", help="which signal (default: KILL)")
    add("--num-workers", type=int, default=1, help="processes that load (default: 1)")
    add("--seed", type=int, default=0, help="of the corpus, the training and the steps (default: 0)")
    add("--work", type=Path, metavar="DIR", help="a new folder that is kept (default: a temporary one)")
    return out


def make_corpus(folder: Path, seed: int = 0) -> Path:
    r"""Generates tissue and builds a corpus of it, in a folder."""
    adata = generate_tissue(
        SLICES, CELLS_PER_SLICE, num_genes=40, num_unobserved=0, num_domains=3, num_cell_types=3,
        seed=seed,
    )  # fmt: skip
    adata.write_h5ad(folder / "tissue.h5ad")
    settings = CorpusSettings(
        cells_per_part=CELLS_PER_PART, radius=3.0, num_features=5, max_length=32
    )
    vocab = GeneVocab.from_slices([adata])
    build_corpus([folder / "tissue.h5ad"], folder / "corpus", vocab, settings)
    return folder / "corpus"


def choose_steps(totals: dict[str, int], number: int, seed: int) -> list[tuple[str, int]]:
    r"""Chooses random steps of all stages, each at most once while there are enough, in their order.

    Args:
        totals (dict): The number of steps of each stage.
        number (int): How many to choose.
        seed (int): The seed.
    """
    steps = [(name, step) for name in BARS for step in range(1, totals.get(name, 0) + 1)]
    if not steps:
        raise ValueError(f"No progress bar of {', '.join(BARS)} was seen; nothing to interrupt")
    draw = random.Random(seed)
    times, rest = divmod(number, len(steps))
    chosen = list(range(len(steps))) * times + draw.sample(range(len(steps)), rest)
    return [steps[i] for i in sorted(chosen)]


def check_end(outcome: Outcome, sent: signal.Signals):
    r"""Checks that a command that got a signal ended as it should.

    Raises:
        ValueError: It ended otherwise.
    """
    right = {0, -signal.SIGKILL if sent == signal.SIGKILL else EXIT_TERMINATED}
    if outcome.signalled is None:
        right = {0}
    if outcome.code not in right:
        raise ValueError(
            f"The run ended with exit code {outcome.code} instead of "
            f"{' or '.join(str(code) for code in sorted(right))}: {outcome.errors[-500:].strip()}"
        )


def interrupt(command: list[str], targets: list[tuple[str, int]], args: argparse.Namespace) -> int:
    r"""Runs a command over and over, each time until one of the steps, and then to its end; returns how
    many signals ended it."""
    sent = signal.Signals[f"SIG{args.signal}"]
    draw = random.Random(args.seed + 1)
    signals = 0
    for number, target in enumerate([*targets, None], start=1):
        # Steps take some ten milliseconds: anywhere in the step, its evaluation or its checkpoint.
        delay = draw.uniform(0.0, 0.1)
        outcome = run_until(command, target, sent, delay, BARS, ROOT)
        check_end(outcome, sent)
        went = ", ".join(f"{name} {a} to {b}" for name, (a, b) in outcome.steps.items() if name in BARS)
        if outcome.signalled is not None and outcome.code != 0:
            signals += 1
            where = f"SIG{args.signal} at {outcome.signalled[0]} step {outcome.signalled[1]}"
            print(f"{number:3d}  {where} + {1000 * delay:.0f} ms: {went}", flush=True)
            continue
        print(f"{number:3d}  ended by itself: {went or 'nothing left to do'}", flush=True)
        return signals


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.kills < 1:
        raise ValueError(f"--kills must be at least 1 (got {args.kills})")
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if (work / "whole").exists() or (work / "broken").exists():
            raise ValueError(f"--work {work} holds runs already; name another folder")
        config = work / "config.json"
        config.write_text(json.dumps(CONFIG), encoding="utf-8")
        corpus = make_corpus(work, args.seed)
        command = [
            sys.executable, "-m", "stofm_pyg", "pretrain", "--preset", "tiny", "--config", str(config),
            "--corpus", str(corpus), "--seed", str(args.seed), "--num-workers", str(args.num_workers),
            "--device", "cpu", "--resume", "auto",
        ]  # fmt: skip
        start = time.monotonic()
        whole = run_until([*command, "--out", str(work / "whole")], cwd=ROOT)
        check_end(whole, signal.SIGKILL)
        steps = {name: whole.totals[name] for name in BARS if name in whole.totals}
        print(f"Whole: {steps} steps, {time.monotonic() - start:.0f} s", flush=True)

        targets = choose_steps(steps, args.kills, args.seed)
        broken = [*command, "--out", str(work / "broken")]
        signals = interrupt(broken, targets, args)
        with quiet("tensorboard"):  # It tells of each break.
            one, other = read_curves(work / "whole"), read_curves(work / "broken")
        wrong = curve_differences(one, other) + file_differences(work / "whole", work / "broken")
        points = sum(len(points) for points in one.values())
        print(
            f"\n{signals} times SIG{args.signal}, {time.monotonic() - start:.0f} s in all. Compared "
            f"{len(one)} curves of {points} points, and {len(weights(work / 'whole'))} files of weights "
            f"and embeddings; {len(left_over(work / 'broken'))} temporary files were left behind"
        )
        if signals < args.kills:
            print(f"{args.kills - signals} runs had ended before their signal came")
        for line in wrong:
            print(f"DIFFERENT: {line}")
        print("Something differs." if wrong else "Nothing differs.")
    return 1 if wrong else 0


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    codes: list[int] = []
    return exit_status(lambda: codes.append(run(argv))) or codes[0]


if __name__ == "__main__":
    sys.exit(main())
