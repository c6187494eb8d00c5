r"""What fewer iterations of Leiden cost: `python benchmarks/speed/leiden.py [SLICE.h5ad ...]`.

Of each slice (generated tissue where none is given) and number of iterations: seconds of processor time,
modularity, and the adjusted Rand index with the clusters of eight iterations; beside it that of eight
iterations with another seed."""

import argparse
import sys
import time
from pathlib import Path

import torch
from sklearn.metrics import adjusted_rand_score

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stofm_pyg.data import SliceSettings  # noqa: E402
from stofm_pyg.data.slices.positions import get_positions  # noqa: E402
from stofm_pyg.data.slices.reader import SliceReader  # noqa: E402
from stofm_pyg.datasets import generate_tissue  # noqa: E402
from stofm_pyg.models.features import PCAFeatures  # noqa: E402
from stofm_pyg.transforms import AddVirtualCells, clusters  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slices", nargs="*", metavar="SLICE.h5ad")
    parser.add_argument("--cells", type=int, default=20_000, help="of generated tissue")
    parser.add_argument("--iterations", type=int, nargs="+", default=[2, 3, 8])
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    print("| slice | cells | iterations | seconds | modularity | ARI |\n|---|---|---|---|---|---|")
    for source in args.slices or [generate_tissue(1, args.cells)]:
        reader = SliceReader(source, SliceSettings())
        for name in reader.rows:
            _measure(name, reader.read(name), args.iterations)
    return 0


def _measure(name: str, adata, iterations: list[int]):
    add = AddVirtualCells()
    x = PCAFeatures.fit([adata]).encode(adata)
    points = add.joint_space(x, torch.from_numpy(get_positions(adata)))
    graph = clusters.neighbor_graph(points, add.num_neighbors)
    wanted, _ = _clusters(graph, 8, seed=0)
    for number, seed in [*((number, 0) for number in iterations), (8, 1)]:
        found, seconds = _clusters(graph, number, seed)
        told = f"{number}, another seed" if seed else f"{number}"
        index = adjusted_rand_score(wanted, found)
        print(
            f"| {name} | {adata.n_obs:,} | {told} | {seconds:.2f} | {graph.modularity(found):.4f} | "
            f"{index:.2f} |",
            flush=True,
        )


def _clusters(graph, iterations: int, seed: int) -> tuple[list[int], float]:
    large, few = clusters.LARGE, clusters.FEW_ITERATIONS
    clusters.LARGE, clusters.FEW_ITERATIONS = 0, iterations
    before = time.process_time()
    try:
        found = clusters.leiden(graph, 1.0, "igraph", seed).tolist()
    finally:
        clusters.LARGE, clusters.FEW_ITERATIONS = large, few
    return found, time.process_time() - before


if __name__ == "__main__":
    sys.exit(main())
