r"""Cells per second of pre-training by stage, and where the time goes:
`python benchmarks/speed/pretrain.py --corpus DIR [--preset tiny] [--json FILE]`, or
`--synthetic 1000 10000 100000` on corpora of so many generated cells, for how time grows with cells.

A corpus is built and encoded as a whole. Of the stages some steps (--steps) are trained by the real
`pretrain`, whose parts are timed from outside, and scaled to a pass: times its number of steps, plus its
evaluations and checkpoints. A new encoder stands for an adapted one, which is as fast. Each corpus is
measured in a process of its own, whose largest memory is reported; loading processes are not in it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.device import find_device  # noqa: E402
from benchmarks.speed.child import run_in_child  # noqa: E402
from benchmarks.speed.harness import exit_status  # noqa: E402
from benchmarks.speed.machine import describe_machine, machine_line  # noqa: E402
from benchmarks.speed.pretrain_stages import (  # noqa: E402
    STAGES,
    PretrainStages,
    describe_config,
    measured_whole,
)
from benchmarks.speed.pretrain_tables import (  # noqa: E402
    CASES,
    exponent_lines,
    loader_table,
    size_table,
    time_table,
    waiting_lines,
)
from benchmarks.speed.rows import write_rows  # noqa: E402
from benchmarks.speed.synthetic_slices import slice_sizes, write_slices  # noqa: E402
from stofm_pyg.corpus import Corpus, CorpusSettings, build_corpus  # noqa: E402
from stofm_pyg.train.pretraining.config import PretrainConfig  # noqa: E402
from stofm_pyg.train.pretraining.presets import PRESETS  # noqa: E402


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = out.add_argument
    what = out.add_mutually_exclusive_group(required=True)
    what.add_argument("--corpus", type=Path, metavar="DIR", help="what 'corpus build' made")
    what.add_argument("--synthetic", nargs="+", type=int, metavar="CELLS", help="generated corpora")
    add("--slice-cells", type=int, default=20_000, metavar="N", help="cells of a generated slice at "
        "most (default: 20000)")  # fmt: skip
    add("--one-slice", action="store_true", help="generated cells in one slice, and one held out")
    add("--cells-per-part", type=int, default=1000, metavar="N", help="cells of a generated subpatch "
        "(default: 1000)")  # fmt: skip
    add("--genes", type=int, default=300, help="genes of generated cells (default: 300)")
    add("--detected", type=float, default=100.0, help="of which a cell has so many (default: 100)")
    add("--preset", choices=list(PRESETS), default="tiny", help="the sizes (default: tiny)")
    add("--config", metavar="FILE", help="YAML or JSON: values other than the preset's")
    add("--cases", default=",".join(CASES), metavar="CASE,...", help=f"default: {','.join(CASES)}")
    add("--steps", type=int, default=20, help="timed steps of stage 1 (default: 20)")
    add("--steps-2", type=int, metavar="N", help="of stage 2 (default: a quarter of --steps)")
    add("--warm-up", type=int, default=3, metavar="N", help="steps before (default: 3)")
    add("--num-workers", type=int, default=1, help="processes that load (default: 1)")
    add("--device", default="auto", help="auto, cpu, cuda ...")
    add("--bf16", action="store_true", help="compute in bfloat16")
    add("--threads", type=int, help="default: as torch chooses")
    add("--seconds", type=float, default=3600.0, help="longest run of a corpus (default: 3600)")
    add("--work", type=Path, metavar="DIR", help="keeps generated corpora (default: a temporary one)")
    add("--json", type=Path, metavar="FILE", help="write the measurements here")
    add("--child", type=int, help=argparse.SUPPRESS)
    return out


def measure(args: argparse.Namespace, cells: int | None) -> list[dict[str, Any]]:
    r"""Measures one corpus in this process.

    Args:
        args (argparse.Namespace): The options, with a folder as :obj:`work`.
        cells (int, optional): The size of a generated one; if :obj:`None`, :obj:`args.corpus` is
            measured.
    """
    device = find_device(args.device)
    config = PRESETS[args.preset]
    if args.config is not None:
        config = PretrainConfig.read(args.config, config)
    wanted = args.cases.split(",")
    if cells is None:
        corpus, built, side = Corpus(args.corpus), {"note": "not measured: built before"}, "given"
    else:
        corpus, built = _built(args, cells)
        side = "one slice" if args.one_slice else f"slices of up to {args.slice_cells:,}"
    size = sum(shard.path.stat().st_size for shard in corpus.shards)
    common = {"side": side, "cells": corpus.num_cells, "median_s": None, "peak_mib": None}
    common |= {"preset": args.preset, "device": device.type, "slices": len(corpus), "bf16": args.bf16}
    common["cells_per_part"] = corpus.settings.cells_per_part
    tokens = sum(shard.entry["tokens"] for shard in corpus.shards)
    common["tokens_per_cell"] = tokens / corpus.num_cells
    rows = [{"case": "build", **common, **built, "bytes_per_cell": size / corpus.num_cells}]
    rest = [case for case in wanted if case != "build"]
    if not rest:
        return rows
    with tempfile.TemporaryDirectory(dir=args.work) as out:
        accelerator = _accelerator(args, device)
        stages = PretrainStages(
            corpus, config, Path(out), args.steps, args.warm_up, args.num_workers, accelerator
        )
        encoded = stages.encode()  # Which all stages need.
        if "encode" in rest:
            rows.append({"case": "encode", **common, **encoded, **describe_config(config)})
        for name in STAGES:
            if name in rest:
                stages.steps = _steps(args, name)
                rows.append({"case": name, **common, **stages.stage(name)})
    return rows


def _steps(args: argparse.Namespace, stage: str) -> int:
    if stage == "stage_1":
        return args.steps
    return max(1, args.steps // 4) if args.steps_2 is None else args.steps_2


def _built(args: argparse.Namespace, cells: int) -> tuple[Corpus, dict[str, Any]]:
    kind = "one" if args.one_slice else f"{args.slice_cells}"
    folder = args.work / f"synthetic-{cells}-{kind}-{args.cells_per_part}-{args.genes}-{args.detected:g}"
    sizes = slice_sizes(cells, None if args.one_slice else args.slice_cells)
    files, vocab = write_slices(folder / "slices", sizes, args.genes, args.detected)
    settings = CorpusSettings(cells_per_part=args.cells_per_part)
    if (folder / "corpus" / "manifest.json").exists():
        note = {"note": "not measured: built before"}
        return build_corpus(files, folder / "corpus", vocab, settings), note
    made: list[Corpus] = []
    built = measured_whole(
        lambda: made.append(build_corpus(files, folder / "corpus", vocab, settings))
    )
    return made[0], built | {"cells_per_second": cells / built["median_s"]}


def _accelerator(args: argparse.Namespace, device: torch.device):
    if device.type == "cpu" and not args.bf16:
        return None
    from accelerate import Accelerator

    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if args.bf16 else "no")


def run(argv: list[str]) -> list[dict[str, Any]]:
    args = parser().parse_args(argv)
    unknown = set(args.cases.split(",")) - set(CASES)
    if unknown:
        raise ValueError(f"Unknown --cases {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    if args.steps < 1 or args.warm_up < 0 or (args.steps_2 is not None and args.steps_2 < 1):
        raise ValueError(
            f"--steps and --steps-2 must be at least 1 and --warm-up at least 0 (got {args.steps}, "
            f"{args.steps_2} and {args.warm_up})"
        )
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    if args.child is not None:
        print(json.dumps({"rows": measure(args, args.child or None)}))
        return []

    machine = machine_line(describe_machine(find_device(args.device)))
    print(machine, end="\n\n", flush=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for cells in sorted(set(args.synthetic or [0])):
            # Of options given twice the last one counts.
            child = [*argv, "--work", str(work), "--child", str(cells)]
            measured = run_in_child(__file__, child, args.seconds)
            if "note" in measured:
                side = "given" if args.corpus else "generated"
                row = {"case": "build", "side": side, "cells": cells, "note": measured["note"]}
                measured = {"rows": [row | {"median_s": None, "peak_mib": None}]}
            for row in measured["rows"]:
                rows.append({**row, "machine": machine})
                print(_line(row), flush=True)
            if args.json is not None:
                write_rows(args.json, rows)
    print(f"\n{size_table(rows)}")
    if any("parts" in row for row in rows):
        print(f"\nWhere the time of a step goes:\n\n{time_table(rows)}\n\n{waiting_lines(rows)}")
        print(f"\nWhat a loading process does for a step:\n\n{loader_table(rows)}")
    grown = exponent_lines(rows)
    if grown:
        print(f"\n{grown}")
    return rows


def _line(row: dict[str, Any]) -> str:
    text = row.get("note") or f"{row['median_s']:.4g} s, {row['peak_mib']:,.0f} MiB"
    return f"{row['case']}, {row['cells']:,} cells: {text}"


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return exit_status(lambda: run(argv))


if __name__ == "__main__":
    sys.exit(main())
