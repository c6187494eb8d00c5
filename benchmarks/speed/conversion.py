r"""How the steps from one slice to a shard and its virtual cells grow with its cells:
`python benchmarks/speed/conversion.py --cells 30000 100000 300000 [--json FILE]`.

Generated cells without clusters to find, one per unit of area, which is the hardest case for Leiden.
The steps follow one another in one process for each size, as in a conversion: the radius graph, the
components of the counts, parts by METIS, the nearest neighbours of the components beside the
positions, Leiden clusters of them.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.benchmark import timer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.speed.harness import Benchmark, high_water, num  # noqa: E402
from benchmarks.speed.synthetic import make_counts  # noqa: E402
from stofm_pyg.corpus.convert_slice import shard_tensors  # noqa: E402
from stofm_pyg.data import SliceSettings  # noqa: E402
from stofm_pyg.data.slices.convert import place_cells  # noqa: E402
from stofm_pyg.models.features import PCAFeatures  # noqa: E402
from stofm_pyg.transforms import AddVirtualCells  # noqa: E402
from stofm_pyg.transforms.clusters import leiden, neighbor_graph  # noqa: E402

STEPS = ("graph", "components", "parts", "neighbours", "clusters")


class ConversionBenchmark(Benchmark):
    r"""One slice, step by step, at some numbers of cells."""

    cases, sides, columns = ("conversion",), ("stofm_pyg",), STEPS
    options = {
        "cells": {"nargs": "+", "type": int, "default": [10_000, 30_000], "metavar": "N",
                  "help": "sizes"},
        "genes": num(300, "genes of generated cells"),
        "detected": num(100, "of which a cell has so many"),
        "resolution": {"type": float, "default": 1.0, "help": "of Leiden (default: 1)"},
    }  # fmt: skip

    def measure(self, case, side, cells):
        seconds = run_steps(cells, self.args)
        return seconds | {"median_s": sum(seconds.values()), "peak_mib": high_water()}

    def compare(self, case, cells, sides):
        return {}  # All is measured.

    def run(self):
        rows = super().run()
        timed = [row for row in rows if row["median_s"]]
        if len(timed) > 1:
            cells = np.log([row["cells"] for row in timed])
            for step in ("median_s", *STEPS):
                power = np.polyfit(cells, np.log([row[step] for row in timed]), 1)[0]
                name = "all" if step == "median_s" else step
                print(f"time of {name} grows as cells to the power of {power:.2f}")
        return rows


def run_steps(cells: int, args) -> dict[str, float]:
    r"""Returns the seconds of each step at one size."""
    settings, generator = SliceSettings(num_features=50), np.random.default_rng(args.seed)
    adata = make_counts(cells, args.genes, args.detected, args.seed)
    pos = np.sqrt(cells) * generator.random((cells, 2))
    seconds, add = {}, AddVirtualCells()

    def timed(step, function):
        start = timer()
        out = function()
        seconds[step] = timer() - start
        return out

    data = timed("graph", partial(place_cells, pos, settings))
    data.cell_id = torch.arange(cells)
    adata.obsm["spatial"] = pos
    x = timed("components", lambda: PCAFeatures.fit([adata], 50, "spatial", args.seed).encode(adata))
    timed("parts", partial(shard_tensors, data, settings))
    points = add.joint_space(x, torch.from_numpy(pos))
    graph = timed("neighbours", partial(neighbor_graph, points, add.num_neighbors))
    timed("clusters", partial(leiden, graph, args.resolution, add.method, args.seed))
    return seconds


if __name__ == "__main__":
    sys.exit(ConversionBenchmark.main())
