import math
import os
from pathlib import Path

import numpy as np
from anndata import AnnData

from benchmarks.speed.synthetic_counts import synthetic_counts
from stofm_pyg._files import write_atomically
from stofm_pyg.data import GeneVocab

HELD_OUT_CELLS = 1000


def slice_sizes(num_cells: int, cells_per_slice: int | None = 20_000) -> list[int]:
    r"""Returns the sizes of slices that have so many cells together, the last of them small, to be held
    out.

    Args:
        num_cells (int): The number of cells, at least two.
        cells_per_slice (int, optional): The largest size of the others; if :obj:`None`, there is one
            other. (default: :obj:`20_000`)
    """
    if num_cells < 2 or (cells_per_slice is not None and cells_per_slice < 1):
        raise ValueError(
            f"It takes at least 2 cells, one of them held out, and slices of at least 1 (got "
            f"{num_cells} and {cells_per_slice})"
        )
    held_out = min(HELD_OUT_CELLS, num_cells // 2)
    rest = num_cells - held_out
    number = 1 if cells_per_slice is None else math.ceil(rest / cells_per_slice)
    cuts = [rest * i // number for i in range(number + 1)]
    return [end - start for start, end in zip(cuts, cuts[1:], strict=False)] + [held_out]


def write_slices(
    folder: str | os.PathLike,
    sizes: list[int],
    num_genes: int = 300,
    mean_detected: float = 100.0,
    seed: int = 0,
) -> tuple[list[Path], GeneVocab]:
    r"""Writes slices of random cells, one h5ad file each, one in memory at a time, with one cell per
    unit of area on average, and returns the files with the vocabulary of their genes.

    Args:
        folder (str or PathLike): Where to; files that are there stay.
        sizes (list of int): The number of cells of each slice.
        num_genes (int, optional): The number of genes. (default: :obj:`300`)
        mean_detected (float, optional): The mean number of genes of a cell. (default: :obj:`100.0`)
        seed (int, optional): The seed. (default: :obj:`0`)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"GENE{i}" for i in range(num_genes)]
    files = []
    for number, size in enumerate(sizes):
        path = folder / f"slice-{number:04d}.h5ad"
        files.append(path)
        if path.exists():
            continue
        generator = np.random.default_rng([seed, number])
        adata = AnnData(synthetic_counts(size, num_genes, mean_detected, int(generator.integers(2**31))))
        adata.var_names = names
        adata.obsm["spatial"] = math.sqrt(size) * generator.random((size, 2))
        write_atomically(path, adata.write_h5ad)
    medians = np.random.default_rng(seed).gamma(2.0, 1.0, size=num_genes) + 0.1
    vocab = GeneVocab(
        {name: 2 + i for i, name in enumerate(names)}, dict(zip(names, medians, strict=True))
    )
    return files, vocab
