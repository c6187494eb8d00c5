r"""Speed and memory of the SE(2) Transformer against the official code and plain attention:
`python benchmarks/speed/se2_transformer.py [--official CHECKOUT] [--json FILE]`.

Random cells, one per unit of area, about 50 neighbours each, and virtual cells tied to all; float32,
no dropout. Ours starts from the graph, the official code from a dense matrix of distances made before.
`plain-attention` is the same encoder without distances. Outputs are compared before anything is timed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.device import find_device  # noqa: E402
from benchmarks.speed.harness import add_options, exit_status, run_script  # noqa: E402
from benchmarks.speed.se2_sides import (  # noqa: E402
    AUTO,
    OFFICIAL,
    PLAIN,
    EncoderSize,
    Side,
    known_evaluators,
    make_side,
)
from benchmarks.speed.subpatches import make_subpatches, random_pairs  # noqa: E402

CELLS = (250, 500, 1000, 2000, 4000, 8000, 20000)
CASES = ("forward", "forward+backward")
PAIRS = 2000
LARGEST_ERROR = 1e-4


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(out, CELLS)
    add = out.add_argument
    add("--official", metavar="CHECKOUT", help="the official repository, or its git directory")
    add(
        "--official-limit",
        type=int,
        default=2000,
        metavar="N",
        help="most cells for the official code, whose memory grows with their square (default: 2000)",
    )
    add("--virtual-cells", type=int, default=50, help="of a subpatch (default: 50)")
    add("--batch", type=int, default=1, help="subpatches in a batch (default: 1)")
    add("--layers", type=int, default=4, help="of the encoder (default: 4)")
    add("--heads", type=int, default=8, help="attention heads (default: 8)")
    add("--channels", type=int, default=256, help="width of all layers and inputs (default: 256)")
    add("--gaussians", type=int, default=128, help="basis functions of a distance (default: 128)")
    add("--cases", default=",".join(CASES), help="comma-separated (default: all)")
    add("--sides", help="comma-separated (default: all that there are)")
    return out


class Comparison:
    r"""Builds the sides for the harness and compares what they give."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.size = EncoderSize(args.layers, args.heads, args.channels, args.gaussians)
        self.device = find_device(args.device)

    def build(self, case: str, side: str, cells: int) -> "Run":
        r"""Prepares one side; the inputs depend on the size and the seed alone."""
        args = self.args
        data = make_subpatches(cells, args.virtual_cells, self.size.channels, args.batch, args.seed)
        pairs = random_pairs(data, PAIRS, args.seed).to(self.device)
        made = make_side(
            side, data.to(self.device), pairs, self.size, args.official, seed=args.seed
        )
        return Run(made, case)

    def check(self, case: str, cells: int, runs: Mapping[str, Callable]) -> dict[str, dict]:
        r"""Compares all sides with the official one, or with the first of ours.

        Raises:
            ValueError: If an output differs by more than 1e-4 of its largest value.
        """
        names = [name for name in runs if name != PLAIN]
        out: dict[str, dict] = {}
        if len(names) < 2:
            return out
        expected = runs[names[0]].values()
        for name in names[1:]:
            errors = largest_errors(runs[name].values(), expected)
            line = ", ".join(f"{part} {error:.1e}" for part, error in errors.items())
            print(f"{case}, {cells:,} cells, {name} against {names[0]}: {line}", flush=True)
            worst = max(errors["x"], errors["pair"])
            if not worst <= LARGEST_ERROR:
                raise ValueError(
                    f"The output of '{name}' differs from that of '{names[0]}' by {worst:.1e} of its "
                    f"largest value at {cells:,} cells; more than {LARGEST_ERROR:g} is an error, so "
                    f"times would mean nothing"
                )
            out[name] = {"max_relative_error": worst, "compared_with": names[0]}
            if "gradient" in errors:
                out[name]["max_relative_gradient_error"] = errors["gradient"]
        return out


class Run:
    r"""One side in one case, called without arguments."""

    def __init__(self, side: Side, case: str):
        self.side = side
        self.case = case

    def __call__(self) -> object:
        return self.side.forward() if self.case == "forward" else self.side.step()

    def values(self) -> dict[str, dict[str, Tensor]]:
        r"""Features, pairs and gradients of one run."""
        output = self()
        with torch.no_grad():
            x, pairs = self.side.read(output)
        out = {"x": {"x": x.detach()}, "pair": {"pair": pairs.detach()}}
        if self.case != "forward":
            out["gradient"] = self.side.gradients()
        return out


def largest_errors(actual: dict, expected: dict) -> dict[str, float]:
    r"""The largest difference in each part, relative to the largest value of the tensor."""
    out = {}
    for part, tensors in expected.items():
        if actual[part].keys() != tensors.keys():
            difference = sorted(actual[part].keys() ^ tensors.keys())
            raise ValueError(f"Only one of two sides has a {part} of {difference}")
        errors = [
            float((actual[part][name] - value).abs().max() / value.abs().max().clamp(min=1e-30))
            for name, value in tensors.items()
        ]
        out[part] = max(errors)
    return out


def sides_of(args: argparse.Namespace, device: torch.device) -> list[str]:
    r"""The sides to measure, in the order in which they are compared."""
    known = [OFFICIAL] if args.official else []
    known += [*known_evaluators(device), AUTO, PLAIN]
    wanted = known if args.sides is None else args.sides.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        hint = "" if args.official else "; 'official' needs --official CHECKOUT"
        raise ValueError(f"--sides {','.join(unknown)} is unknown; known: {', '.join(known)}{hint}")
    return [name for name in known if name in wanted]


def run(argv: list[str]) -> list[dict]:
    args = parser().parse_args(argv)
    cases = args.cases.split(",")
    if not set(cases) <= set(CASES):
        raise ValueError(f"--cases {args.cases} is unknown; known: {', '.join(CASES)}")
    if args.batch < 1 or args.virtual_cells < 0:
        raise ValueError(
            f"--batch must be at least 1 and --virtual-cells at least 0 (got {args.batch} and "
            f"{args.virtual_cells})"
        )
    comparison = Comparison(args)
    return run_script(
        __file__,
        argv,
        args,
        comparison.build,
        cases,
        sides_of(args, comparison.device),
        baselines=(OFFICIAL, PLAIN),
        check=comparison.check,
        limits={OFFICIAL: args.official_limit},
        extras={"batch": args.batch, "virtual_cells": args.virtual_cells},
    )


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return exit_status(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
