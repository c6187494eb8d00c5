r"""Cells per second of pre-training by stage, its memory, and its share of waiting for data:
`python benchmarks/speed/pretrain.py --corpus DIR [--preset tiny] [--json FILE]`, or
`--synthetic 1000 10000 100000` on corpora of so many generated cells, for how time grows with cells.

A corpus is built and encoded as a whole. Of the stages some steps (--steps) are trained by `pretrain`,
and their throughput, as its curves tell it, is scaled to a pass over the cells, without evaluations and
checkpoints. A new encoder stands for an adapted one, which is as fast. Each case runs in a process of
its own, whose largest memory is reported; loading processes are not in it.
"""

import sys
import tempfile
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.benchmark import timer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import Benchmark, high_water, num  # noqa: E402
from benchmarks.speed.synthetic import write_slices  # noqa: E402
from stofm_pyg.corpus import Corpus, build_corpus  # noqa: E402
from stofm_pyg.data import GeneVocab, SliceSettings  # noqa: E402
from stofm_pyg.models import CellEncoder  # noqa: E402
from stofm_pyg.train import PRESETS, PretrainConfig, pretrain  # noqa: E402

CASES, STAGES = ("build", "encode", "stage_1", "stage_2"), ("stage_1", "stage_2")


class PretrainBenchmark(Benchmark):
    r"""Building a corpus, encoding it, and the stages of pre-training, at some numbers of cells."""

    sides, columns = ("stofm_pyg",), ("cells_per_second", "loading_share", "bytes_per_cell")
    options = {
        "corpus": {"type": Path, "metavar": "DIR", "help": "what 'corpus build' made"},
        "synthetic": {"nargs": "+", "type": int, "metavar": "CELLS", "help": "generated corpora"},
        "slice_cells": num(20_000, "most cells of a generated slice"),
        "one_slice": {"action": "store_true", "help": "all generated cells in one, but those held out"},
        "cells_per_part": num(1000, "cells of a generated subpatch"),
        "genes": num(300, "genes of generated cells"),
        "detected": num(100, "of which a cell has so many"),
        "preset": {"choices": list(PRESETS), "default": "tiny", "help": "the sizes (default: tiny)"},
        "config": {"metavar": "FILE", "help": "YAML or JSON: values other than the preset's"},
        "cases": {"default": ",".join(CASES), "help": "comma-separated (default: all)"},
        "steps": num(20, "timed steps of stage 1"),
        "steps_2": num(5, "timed steps of stage 2"),
        "warm_up": num(3, "steps before"),
        "num_workers": num(1, "processes that load"),
        "bf16": {"action": "store_true", "help": "compute in bfloat16"},
    }

    def __init__(self, args):
        self.cases = [case for case in CASES if case in args.cases.split(",")]
        if len(self.cases) != len(args.cases.split(",")) or bool(args.corpus) == bool(args.synthetic):
            raise ValueError(
                f"Pass --corpus DIR or --synthetic CELLS, and --cases of {', '.join(CASES)} (got "
                f"{args.corpus}, {args.synthetic} and {args.cases})"
            )
        args.cells = args.synthetic or [Corpus(args.corpus).num_cells]
        super().__init__(args)

    def measure(self, case, side, cells):
        row = run_case(case, cells, self.args, self.device)
        return {"peak_mib": high_water()} | row

    def compare(self, case, cells, sides):
        return {}  # All is measured.

    def run(self):
        with tempfile.TemporaryDirectory() as self.args.work:
            rows = super().run()
        for case in self.cases:
            timed = [row for row in rows if row["case"] == case and row["median_s"]]
            if len(timed) > 1:
                x, y = np.log([[row["train_cells"], row["median_s"]] for row in timed]).T
                print(f"time of {case} grows as cells to the power of {np.polyfit(x, y, 1)[0]:.2f}")
        return rows


def run_case(case: str, cells: int, args, device) -> dict:
    r"""Measures one case in this process."""
    corpus, seconds = open_corpus(cells, args)
    row = {"preset": args.preset, "bf16": args.bf16, "train_cells": cells}
    if case == "build":
        row["bytes_per_cell"] = sum(shard.path.stat().st_size for shard in corpus.shards) / cells
        rate = {"cells_per_second": cells / seconds} if seconds else {"note": "built before"}
        return row | rate | {"median_s": seconds}
    config = PRESETS[args.preset]
    config = config if args.config is None else PretrainConfig.read(args.config, config)
    encoder = CellEncoder(len(corpus.vocab), **asdict(config.cell_encoder)).to(device).eval()
    if case == "encode":
        start = timer()
        for shard in corpus.shards:
            encoder.encode(shard.tokens().truncate(encoder.max_length))
        seconds = timer() - start
        row["bytes_per_cell"] = 4 * encoder.out_channels
        return row | {"median_s": seconds, "cells_per_second": cells / seconds}

    steps = args.warm_up + (args.steps if case == "stage_1" else args.steps_2)
    asked = count(1)  # It is asked in each step whether to stop.
    stages = {name: replace(getattr(config, name), num_epochs=steps * (name == case), max_steps=0)
              for name in STAGES}  # fmt: skip
    config = replace(config, adaptation=replace(config.adaptation, num_steps=0), held_out=1, **stages)
    accelerator = None
    if device.type == "cuda" or args.bf16:
        precision = "bf16" if args.bf16 else "no"
        accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision=precision)
    out = Path(args.work, f"{case}-{cells}")
    pretrain(corpus, out, config, cell_encoder=encoder, accelerator=accelerator,
             num_workers=args.num_workers, stop=lambda: next(asked) >= steps)  # fmt: skip
    curves = EventAccumulator(str(out / "tensorboard" / case), size_guidance={"scalars": 0}).Reload()
    names = ("train/cells_per_second", "train/loading_share", "train/memory_mib")
    values = [[event.value for event in curves.Scalars(name)][args.warm_up :] for name in names]
    rate, waiting, memory = np.array(values)
    train = sum(shard.num_cells for shard in corpus.shards[:-1])
    row |= {"train_cells": train, "cells_per_second": 1 / np.mean(1 / rate), "peak_mib": memory.max()}
    row["loading_share"] = np.average(waiting, weights=1 / rate)
    return row | {"median_s": train / row["cells_per_second"]}


def open_corpus(cells: int, args) -> tuple[Corpus, float | None]:
    r"""Returns a corpus and the seconds of building it, unless it was there."""
    if args.corpus:
        return Corpus(args.corpus), None
    folder, most = Path(args.work, f"{cells}"), cells if args.one_slice else args.slice_cells
    files = write_slices(folder, cells, most, args.genes, args.detected)
    settings, new = SliceSettings(cells_per_part=args.cells_per_part), not (folder / "corpus").exists()
    vocab, start = GeneVocab.from_slices(files[-1:]), timer()  # All have the same genes.
    corpus = build_corpus(files, folder / "corpus", vocab, settings)
    return corpus, timer() - start if new else None


if __name__ == "__main__":
    sys.exit(PretrainBenchmark.main())
