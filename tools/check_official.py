"""Compares our SE(2) Transformer with one recorded run of the official code:
`python tools/check_official.py FILE.safetensors`, with the run's settings in FILE.json beside it.

Prints the largest relative error of every output, loss and gradient, max |ours - official| /
max |official| over a tensor, in single precision. Exit status: 0 if all are at most 1e-5, 1 if one is
above, 2 if the file is not such a run.

Where a number is lost in single precision (a gradient that is exactly zero, sums that cancel), the
official file holds rounding. Such a tensor does not count; the table says so and by how much the file
is off from double precision.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stofm_pyg.nn import SE2TransformerConv  # noqa: E402
from tools.compare_run import TOLERANCE, Row, compare, left_out  # noqa: E402
from tools.official_run import OfficialRun  # noqa: E402


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("file", type=Path, metavar="FILE.safetensors")
    out.add_argument("--evaluator", choices=SE2TransformerConv.evaluators, help="default: by size")
    out.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 ... (default: cpu)")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    options = {} if args.evaluator is None else {"evaluator": args.evaluator}
    try:
        run = OfficialRun(args.file)
        rows = compare(run, args.device, **options)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {args.file}: {error}", file=sys.stderr)
        return 2

    width = max(len(row.name) for row in rows)
    print(f"{'tensor':{width}}  relative error")
    for row in rows:
        remark = row.note or ("too large" if row.failed else "")
        print(f"{row.name:{width}}  {row.error:.1e}  {remark}".rstrip())
    for name in left_out(run):
        print(f"{name:{width}}  not compared: of no known name")
    print(f"\n{summary(rows)}")
    return 1 if any(row.failed for row in rows) else 0


def summary(rows: list[Row]) -> str:
    failed = sum(row.failed for row in rows)
    excused = sum(bool(row.note) for row in rows)
    worst = max((row for row in rows if not row.note), key=lambda row: row.error, default=None)
    out = f"{len(rows)} tensors, {failed} above {TOLERANCE:g}"
    if excused:
        out += f", not counting {excused} that single precision cannot tell"
    return out if worst is None else f"{out}; the largest error is {worst.error:.1e} ({worst.name})"


if __name__ == "__main__":
    sys.exit(main())
