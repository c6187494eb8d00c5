from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from stofm_pyg.data.chunk_sorter import ChunkSorter
from stofm_pyg.data.rank_table import RankTable

VALUES_PER_CHUNK = 2**17  # Threads wait for one another between chunks, and larger ones leave the cache.


class RankedCells(NamedTuple):
    r"""What :meth:`rank_cells` returns."""

    tokens: np.ndarray
    lengths: np.ndarray
    values: np.ndarray | None
    num_without_genes: int
    num_truncated: int


def rank_cells(
    table: RankTable, max_length: int, add_first: bool = True, scale: np.ndarray | None = None
) -> RankedCells:
    r"""Returns the tokens of each cell in the order of their ranks.

    Chunks of some hundred cells are sorted at once, on as many threads as PyTorch uses.

    Args:
        table (RankTable): The counts of :math:`N` cells, and their ranks.
        max_length (int): The largest number of tokens of a cell.
        add_first (bool, optional): Puts the token of rank 0 before each cell. (default: :obj:`True`)
        scale (np.ndarray, optional): What to multiply the values of each cell with :math:`(N)`. If
            :obj:`None`, values are not returned. (default: :obj:`None`)

    Returns:
        :obj:`tokens` :math:`(T)` int32, :obj:`lengths` :math:`(N)` int64, :obj:`values` :math:`(T)`
        float32 or :obj:`None`, and the numbers of cells that have no gene and that were truncated.
    """
    indptr, num_cells = table.counts.indptr, table.counts.shape[0]
    tokens = np.empty(table.counts.nnz + num_cells, dtype=np.int32)
    values = None if scale is None else np.empty(len(tokens), dtype=np.float32)
    lengths = np.empty(num_cells, dtype=np.int64)
    limit = max_length + (not add_first)  # The beginning of a cell is cut off after.

    def rank_chunks(bounds: list[int]) -> tuple[int, int, int, int]:
        # Each thread writes where its cells would begin if nothing before was left out.
        begin = end = int(indptr[bounds[0]]) + bounds[0]
        num_empty = num_truncated = 0
        sorter = ChunkSorter(table, bounds)
        for start, stop in pairwise(bounds):
            ranks, sizes = sorter(start, stop)
            num_empty += int(np.count_nonzero(sizes == 1))
            if sizes.max() > limit:
                num_truncated += int(np.count_nonzero(sizes > limit))
                place = np.arange(len(ranks)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
                ranks = ranks[place < limit]
                np.minimum(sizes, limit, out=sizes)
            if not add_first:
                ranks = ranks[ranks != 0]
                sizes -= 1
            lengths[start:stop] = sizes
            out = slice(end, end + len(ranks))
            table.tokens.take(ranks, mode="clip", out=tokens[out])
            if values is not None:
                values[out] = table.values.take(ranks, mode="clip") * np.repeat(scale[start:stop], sizes)
            end = out.stop
        return begin, end, num_empty, num_truncated

    done = _on_threads(rank_chunks, _chunk_bounds(table))
    total = 0
    for begin, end, _, _ in done:
        for array in (tokens, values):
            if array is not None and begin > total:
                array[total : total + end - begin] = array[begin:end]
        total += end - begin
    for array in (tokens, values):
        if array is not None:
            array.resize(total, refcheck=False)
    return RankedCells(tokens, lengths, values, sum(d[2] for d in done), sum(d[3] for d in done))


def _on_threads(work, bounds: list[int]) -> list:
    r"""Calls :obj:`work` with equal parts of the chunks, in their order."""
    num_threads = max(1, min(torch.get_num_threads(), len(bounds) - 1))
    ends = [i * (len(bounds) - 1) // num_threads for i in range(num_threads + 1)]
    parts = [bounds[first : last + 1] for first, last in pairwise(ends)]
    if num_threads == 1:
        return [work(parts[0])]
    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(work, parts))


def _chunk_bounds(table: RankTable) -> list[int]:
    indptr = table.counts.indptr
    num_cells = len(indptr) - 1
    most = 1 << (8 * np.dtype(table.dtype).itemsize - table.bits)
    by_values = np.searchsorted(indptr, np.arange(0, indptr[-1], VALUES_PER_CHUNK))
    by_cells = np.arange(0, num_cells, min(most, num_cells) or 1)
    return np.unique(np.concatenate([by_values, by_cells, [num_cells]])).tolist()
