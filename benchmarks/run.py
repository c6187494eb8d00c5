r"""Runs a benchmark: `python benchmarks/run.py --task segmentation`."""

import argparse
import logging
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.methods import METHODS  # noqa: E402
from benchmarks.presets import PRESETS  # noqa: E402
from benchmarks.splits import SPLITS  # noqa: E402
from benchmarks.tasks import TASKS  # noqa: E402
from benchmarks.tasks.segmentation import FEATURES  # noqa: E402


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=__doc__)
    out.add_argument("--task", required=True, choices=sorted(TASKS))
    out.add_argument("--data", nargs="+", metavar="FILE.h5ad", help="default: generated tissue")
    out.add_argument("--label", default="domain", help="obs column to predict")
    out.add_argument("--layer", help="the layer of the raw counts in --data, if they are not in X")
    out.add_argument("--slice-key", default="slice", help="obs column that tells slices apart")
    out.add_argument(
        "--split", choices=SPLITS, help="default: cross where there are two labelled slices, else blocks"
    )
    out.add_argument(
        "--method",
        default=",".join(METHODS),
        help=f"methods, comma-separated (default: all of {','.join(METHODS)})",
    )
    out.add_argument(
        "--conv", default="SE2TransformerConv", help="a PyG operator to compare with the SE(2) layer"
    )
    out.add_argument(
        "--features",
        choices=FEATURES,
        default="tokens",
        help="what stofm sees of a cell: the embedding that a cell encoder makes of its ranked genes, "
        "with principal components in a row beside it, or these alone (default: tokens)",
    )
    out.add_argument("--vocab", metavar="DIR|FILE", help="genes and their tokens: a Geneformer, or a "
        "saved vocabulary (default: made of the slices)")  # fmt: skip
    out.add_argument("--cell-encoder", metavar="DIR", help="a cell encoder as 'python -m stofm_pyg "
        "adapt' writes it (default: a small one is adapted to the slices)")  # fmt: skip
    out.add_argument("--runs", type=int, default=3, help="seeds to repeat with (default: 3)")
    out.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    out.add_argument("--preset", choices=list(PRESETS), default="small")
    out.add_argument("--out", type=Path, help="default: results/TASK")
    out.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    args.out = args.out or Path("results") / args.task
    # One core is for loading: threads that wait for a busy core make every operation slow.
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    try:
        return TASKS[args.task](args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
