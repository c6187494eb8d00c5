r"""What embedding one large slice from disk takes, in parts and in one piece:
`python benchmarks/speed/embedding.py --cells 30000 100000 --threads 1 [--one-piece N] [--json FILE]`.

Generated cells without clusters to find, one per unit of area, in an h5ad file; a model of the preset
"small", trained for a few steps on some of such cells. Subpatches are cut, and then embedded, by
`embed_in_parts`, each in a process of its own, whose peak memory is told; then `SToFM.embed` does both
in one piece, up to --one-piece cells, and must give the same to 1e-5. The files stay in --folder.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.benchmark import timer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed import harness  # noqa: E402
from benchmarks.speed.harness import Benchmark, high_water, num  # noqa: E402
from benchmarks.speed.synthetic import make_counts  # noqa: E402
from stofm_pyg.models import SToFM, embed_in_parts  # noqa: E402

TOLERANCE = 1e-5
FITTED_CELLS, STEPS = 5000, 20
# One of so many shares has no group of parts.
MANY = 10**9


class EmbeddingBenchmark(Benchmark):
    r"""One slice in a file, in parts and in one piece, at some numbers of cells."""

    cases, sides, columns = ("embed",), ("cut", "embedded", "one piece"), ("cells_per_second",)
    options = {
        "cells": {"nargs": "+", "type": int, "default": [10_000], "metavar": "N", "help": "sizes"},
        "genes": num(300, "genes of generated cells"),
        "detected": num(100, "of which a cell has so many"),
        "one_piece": num(100_000, "the most cells that are embedded in one piece, too"),
        "folder": {"type": Path, "metavar": "DIR", "help": "for all files (default: a temporary one)"},
    }  # fmt: skip

    def run(self):
        if self.args.folder is not None:
            return super().run()
        with tempfile.TemporaryDirectory() as folder:
            self.args.folder = Path(folder)
            return super().run()

    def measure(self, case, side, cells):
        folder = self.args.folder
        source, parts = folder / f"{cells}.h5ad", folder / f"{cells}-parts"
        if not source.exists():
            harness.in_child(write_source, source, cells, self.args)
        if not (folder / "model").exists():
            harness.in_child(write_model, folder / "model", self.args)
        if side == "one piece" and cells > self.args.one_piece:
            return {"note": f"not run: --one-piece {self.args.one_piece}"}
        model, options = SToFM.from_pretrained(folder / "model"), {"device": self.device}
        start = timer()
        if side == "cut":
            embed_in_parts(model, source, parts, share=(MANY - 1, MANY), **options)
        elif side == "embedded":
            embed_in_parts(model, source, parts, **options)
        else:
            z = model.embed(source, **options)
        seconds = timer() - start
        row = {"median_s": seconds, "peak_mib": high_water(), "cells_per_second": cells / seconds}
        if side == "one piece":
            found = torch.from_numpy(np.load(parts / "embedding.npy", mmap_mode="c"))
            row["difference"] = float((found - z).abs().max())
            if not row["difference"] <= TOLERANCE:
                raise ValueError(f"The two embeddings of {cells} cells differ by {row['difference']}")
        return row

    def compare(self, case, cells, sides):
        return {}  # All is measured.


def write_source(path: Path, cells: int, args) -> dict:
    r"""Writes a slice of so many cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    make_slice(cells, args).write_h5ad(path)
    return {}


def write_model(path: Path, args) -> dict:
    r"""Writes a model that was trained for a few steps."""
    config = {"stage_1": {"max_steps": STEPS}}
    options = {"preset": "small", "config": config, "progress": False, "device": args.device}
    SToFM.fit(make_slice(FITTED_CELLS, args), **options).save_pretrained(path)
    return {}


def make_slice(cells: int, args):
    adata = make_counts(cells, args.genes, args.detected, args.seed)
    generator = np.random.default_rng(args.seed)
    adata.obsm["spatial"] = np.sqrt(cells) * generator.random((cells, 2))
    return adata


if __name__ == "__main__":
    sys.exit(EmbeddingBenchmark.main())
