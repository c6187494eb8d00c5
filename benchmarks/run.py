r"""Runs a benchmark: `python benchmarks/run.py --task segmentation`."""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.methods import DEFAULT, METHODS  # noqa: E402
from benchmarks.splits import SPLITS  # noqa: E402
from benchmarks.tasks import TASKS  # noqa: E402
from stofm_pyg.train import PRESETS  # noqa: E402


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
        "--unseen",
        action="store_true",
        help="with --split cross: rows also for what has never seen the test slice, not even unlabelled",
    )
    out.add_argument(
        "--missing-genes", type=float, default=0.0, metavar="SHARE",
        help="leave this share of the genes, random ones, out of the first slice (default: 0)",
    )  # fmt: skip
    out.add_argument(
        "--method",
        default=",".join(DEFAULT),
        help=f"methods, comma-separated, of {','.join(METHODS)} (default: {','.join(DEFAULT)})",
    )
    out.add_argument("--model", metavar="DIR", help="a saved model, as a row")
    out.add_argument(
        "--conv", default="SE2TransformerConv", help="a PyG operator to compare with the SE(2) layer"
    )
    out.add_argument(
        "--features",
        default="auto",
        help="what stofm sees of a cell: pca, tokens, or a key in obsm; of several, comma-separated, "
        "each gets rows of its own (default: auto, that is pca)",
    )
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
    try:
        return TASKS[args.task](args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
