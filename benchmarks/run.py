r"""Runs benchmarks: `python benchmarks/run.py --task segmentation`, or `--task all`."""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ablations import ABLATIONS  # noqa: E402
from benchmarks.data_sets import data_sets  # noqa: E402
from benchmarks.methods import CLASSIFIERS, DEFAULT, METHODS  # noqa: E402
from benchmarks.runner import run_all, run_task  # noqa: E402
from benchmarks.splits import SPLITS  # noqa: E402
from benchmarks.tasks import TASKS  # noqa: E402
from stofm_pyg.train import PRESETS  # noqa: E402


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(description=__doc__)
    out.add_argument("--task", required=True, choices=[*TASKS, "all"])
    out.add_argument(
        "--data",
        nargs="+",
        metavar="DATA",
        help="h5ad files, which are one data set; or names of published ones (dlpfc, ...) and YAML "
        "files of several, 'NAME: {files: [...], label: domain}' (default: generated tissue)",
    )
    out.add_argument("--data-root", metavar="DIR", help="where published data sets are kept")
    out.add_argument(
        "--data-dir", metavar="DIR",
        help="where the files are that a YAML file names (default: beside it)",
    )  # fmt: skip
    out.add_argument(
        "--only", metavar="NAMES", help="of the data sets these, comma-separated (default: all)"
    )
    out.add_argument("--label", help="obs column to predict (default: what the task is about)")
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
        help=f"rows, comma-separated, of {','.join(METHODS)} and, of annotation, "
        f"{','.join(CLASSIFIERS)}; or 'all' (default: {','.join(DEFAULT)}; with --task all: all)",
    )
    out.add_argument("--model", metavar="DIR", help="a saved model, as a row")
    out.add_argument(
        "--checkpoint",
        nargs="+",
        metavar="NAME=DIR",
        help="published weights of a method, as a row each",
    )
    out.add_argument(
        "--conv",
        default="SE2TransformerConv",
        help="operators to compare with the SE(2) layer, comma-separated: names of PyG, module:Class, "
        "path/to/file.py:Class",
    )
    out.add_argument(
        "--ablate",
        nargs="?",
        const="all",
        metavar="NAMES",
        help=f"variants of stofm, comma-separated, of {','.join(ABLATIONS)} (default: none; without "
        "names: all); without --method, stofm alone stands beside them",
    )
    out.add_argument(
        "--features",
        default="auto",
        help="what stofm sees of a cell: pca, tokens, or a key in obsm; of several, comma-separated, "
        "each gets rows of its own (default: auto, that is pca)",
    )
    out.add_argument(
        "--runs", type=int, help="seeds to repeat with (default: 3; of all tasks with --preset tiny, 1)"
    )
    out.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    out.add_argument(
        "--seconds", type=float, metavar="S",
        help="every method that trains gets as many steps as take S seconds on this machine, which are "
        "kept in budget.json of --out (default: the steps of the preset; novae has those always)",
    )  # fmt: skip
    out.add_argument("--preset", choices=list(PRESETS), default="small")
    out.add_argument(
        "--out",
        type=Path,
        help="default: results/TASK; with --task all, results, which gets the folders",
    )
    out.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ...")
    out.add_argument("--jobs", type=int, default=1, help="rows to run side by side (default: 1)")
    out.add_argument(
        "--fresh", action="store_true", help="forget what --out holds rather than go on from there"
    )
    for task in TASKS.values():
        task.add_arguments(out.add_argument_group(task.name))
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    if args.runs is None:
        args.runs = 1 if args.task == "all" and args.preset == "tiny" else 3
    try:
        sets = data_sets(args.data, args.data_root, args.data_dir, args.only)
        if args.task == "all" or len(sets) > 1 or sets[0].tasks:
            return run_all(args, sets)
        out = args.out or Path("results") / args.task
        return run_task(sets[0].args_of(args, args.task, out))
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
