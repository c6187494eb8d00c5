r"""What pre-training on a large corpus costs, from measured rows:
`python benchmarks/speed/scaling_cost.py ROWS.json --cells 88e6 --gpus 4`.

ROWS.json is what `benchmarks/speed/pretrain.py --json` or `tools/gpu_check.sh` wrote; of each case the
row with the most cells counts. With M cells on G devices, r cells per second on one, of which each keeps
the part e beside others, E passes take E M / (G r e) seconds, and building M / (W r) with W processes. A
"GPU" is whatever device the rows were measured on: rows of a CPU tell nothing of a GPU.
"""

import argparse
import json
import sys
from pathlib import Path

HEAD = "| | passes | cells/s of one | devices | hours | device hours | GiB on disk |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("rows", type=Path, metavar="ROWS.json", help="what pretrain.py --json wrote")
    add("--cells", type=float, default=88e6, help="cells of the corpus (default: 88e6)")
    add("--gpus", type=int, default=4, metavar="N", help="devices as the measured one (default: 4)")
    add("--workers", type=int, default=1, help="processes that build the corpus (default: 1)")
    add("--epochs", type=int, nargs=2, default=(2, 1), help="passes of both stages (default: 2 1)")
    add("--efficiency", type=float, default=1.0, help="of each of several devices (default: 1)")
    args = parser.parse_args(argv)
    rows = [row for row in json.loads(args.rows.read_text()) if row.get("cells_per_second")]
    passes = {"build": 1, "encode": 1, "stage_1": args.epochs[0], "stage_2": args.epochs[1]}
    rows = [row for row in rows if row["case"] in passes]  # The check on a GPU measures more.
    largest = {row["case"]: row for row in sorted(rows, key=lambda row: row["cells"])}
    print(HEAD, "|---" * 7 + "|", sep="\n")
    for case, row in largest.items():
        rate, size = row["cells_per_second"], row.get("bytes_per_cell")
        devices, kept = (args.workers, 1.0) if case == "build" else (args.gpus, args.efficiency)
        hours = passes[case] * args.cells / (devices * rate * kept) / 3600
        gib = f"{args.cells * size / 2**30:,.3g}" if size else ""
        values = f"{rate:,.3g} | {devices} | {hours:,.3g} | {hours * devices:,.3g} | {gib}"
        print(f"| {case} | {passes[case]} | {values} |")
    print("\nMeasured on:", *sorted({row["machine"] for row in rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
