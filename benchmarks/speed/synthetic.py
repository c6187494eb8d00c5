r"""Generated counts and slices of any size."""

import math
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

CELLS_PER_BLOCK, HELD_OUT_CELLS = 20_000, 1000


def make_counts(num_cells: int, num_genes: int, detected: int, seed: int = 0) -> AnnData:
    r"""Makes counts of genes, some frequent and some rare, of which a cell has so many on average; block
    by block, so that little more than the result is in memory."""
    rng, share, blocks = np.random.default_rng(seed), detected / num_genes, []
    shares = share + min(share, 1 - share) * np.linspace(-1, 1, num_genes, dtype=np.float32)
    for start in range(0, num_cells, CELLS_PER_BLOCK):
        size = (min(CELLS_PER_BLOCK, num_cells - start), num_genes)
        blocks.append(sparse.csr_matrix(rng.random(size, dtype=np.float32) < shares, dtype=np.float32))
        blocks[-1].data = rng.geometric(0.5, blocks[-1].nnz).astype(np.float32)
    adata = AnnData(sparse.vstack(blocks, format="csr"))
    adata.var_names = [f"GENE{i}" for i in range(num_genes)]
    return adata


def write_slices(folder: Path, cells: int, most: int, genes: int, detected: int) -> list[Path]:
    r"""Writes slices of so many cells together, each of so many at most, one cell per unit of area; the
    last one is small, to be held out."""
    last = min(HELD_OUT_CELLS, cells // 2)
    parts = np.array_split(np.arange(cells - last), math.ceil((cells - last) / most))
    sizes = [len(part) for part in parts] + [last]
    files = [folder / f"slice-{i:04d}.h5ad" for i in range(len(sizes))]
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (path, size) in enumerate(zip(files, sizes, strict=True)):
        if not path.exists():
            adata = make_counts(size, genes, detected, seed)
            adata.obsm["spatial"] = math.sqrt(size) * np.random.default_rng(seed).random((size, 2))
            adata.write_h5ad(path)
    return files
