from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

# Counts up to the usual ones are looked up in a table of columns by counts. Its size is kept below an
# eighth of the number of counts, so that it costs less than what it saves.
USUAL = 0.98
MAX_BITS = 12
SAMPLE = 4096
VALUES_PER_BLOCK = 2**16
VALUES_PER_CHUNK = 2**17  # Threads wait for one another between chunks, and larger ones leave the cache.
NARROW_BITS = 24  # Of 32, so that 256 cells at least go into one sort.


class RankTable:
    r"""The rank of every pair of a gene and a count in a matrix, by falling count / median, then by
    token.

    The total count of a cell scales all of its values alike and changes no order. What is ranked is
    therefore a property of the pair alone; there are far fewer pairs than counts, so they are ranked
    once, exactly, and the tokens of a cell are those of its pairs sorted by a small integer. Rank 0
    stands for the beginning of a cell.

    Args:
        counts (csr_matrix): Counts :math:`(N, M)` float32, without explicit zeros.
        gene (np.ndarray): The gene of each column :math:`(M)`, -1 where there is none. No two columns
            have the same.
        token_ids (np.ndarray): The token of each gene :math:`(G)`.
        medians (np.ndarray): The median of each gene :math:`(G)`.
        first_token (int): The token of rank 0.
    """

    def __init__(
        self,
        counts: sparse.csr_matrix,
        gene: np.ndarray,
        token_ids: np.ndarray,
        medians: np.ndarray,
        first_token: int,
    ):
        self.counts = counts
        #: The table has 2 ** table_bits counts of each column, of which 0 does not occur.
        self.table_bits = _table_bits(counts)
        size = 1 << self.table_bits
        column = np.flatnonzero(gene >= 0)
        #: Where counts are too large for the table.
        self.rare = _positions_from(counts.data, size)
        matched = gene[counts.indices[self.rare]] >= 0
        rare = self.rare[matched]
        codes = counts.indices[rare].astype(np.int64) << 32
        codes |= counts.data[rare].view(np.uint32)  # Equal counts have equal bits.
        codes, pair_of_rare = np.unique(codes, return_inverse=True)

        pair_gene = gene[np.concatenate([np.repeat(column, size - 1), codes >> 32])]
        rare_counts = (codes & 0xFFFFFFFF).astype(np.uint32).view(np.float32)
        pair_counts = np.concatenate([np.tile(np.arange(1.0, size), len(column)), rare_counts])
        value, token = pair_counts / medians[pair_gene], token_ids[pair_gene]
        order = _falling(value, token)

        #: How many bits a rank has. The last rank of so many bits is not given to a pair.
        self.bits = int(len(order) + 1).bit_length()
        self.dtype = np.uint32 if self.bits <= NARROW_BITS else np.uint64
        #: Stands for columns without a gene; comes after everything else, whatever is added to it.
        self.unmatched = self.dtype(np.iinfo(self.dtype).max)
        rank = np.empty(len(order), dtype=self.dtype)
        rank[order] = np.arange(1, len(order) + 1, dtype=self.dtype)
        table = np.full((len(gene), size), self.unmatched, dtype=self.dtype)
        table[column, 1:] = rank[: len(column) * (size - 1)].reshape(len(column), size - 1)
        self.table = table.reshape(-1)
        #: The ranks of these counts.
        self.rare_rank = np.full(len(self.rare), self.unmatched, dtype=self.dtype)
        self.rare_rank[matched] = rank[len(column) * (size - 1) :][pair_of_rare]
        #: The token of each rank.
        self.tokens = np.concatenate([[first_token], token[order]]).astype(np.int32)
        #: The count / median of each rank; infinite for the beginning of a cell, before all others.
        self.values = np.concatenate([[np.inf], value[order]])


def _table_bits(counts: sparse.csr_matrix) -> int:
    if counts.nnz == 0:
        return 1
    sample = np.sort(counts.data[:: max(1, counts.nnz // SAMPLE)])
    usual = min(float(sample[int(USUAL * (len(sample) - 1))]), 2.0**MAX_BITS)
    fitting = (counts.nnz // (8 * counts.shape[1])).bit_length() - 1
    return max(1, min(int(usual).bit_length(), fitting, MAX_BITS))


def _falling(value: np.ndarray, token: np.ndarray) -> np.ndarray:
    r"""The order of falling values, and of rising tokens where values are equal."""
    order = np.argsort(-value)
    equal = value[order[1:]] == value[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    among = order[tied]
    order[tied] = among[np.lexsort((token[among], -value[among]))]
    return order


def _positions_from(data: np.ndarray, size: int) -> np.ndarray:
    r"""Where counts are at least :obj:`size`."""
    starts = range(0, len(data), VALUES_PER_BLOCK)
    found = [start + np.flatnonzero(data[start : start + VALUES_PER_BLOCK] >= size) for start in starts]
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


class ChunkSorter:
    r"""Sorts the ranks within each of some consecutive cells, in memory that is used again for the
    next ones: new memory costs more time than the work on it.

    Args:
        table (RankTable): The counts and their ranks.
        bounds (list of int): The first cell of each chunk, and the end of the last one.
    """

    def __init__(self, table: RankTable, bounds: list[int]):
        self.table = table
        self.cell_bits = table.dtype(table.bits)
        self.rank_mask = table.dtype((1 << table.bits) - 1)
        size = int(np.diff(table.counts.indptr[bounds] + np.asarray(bounds)).max(initial=0))
        self.whole = np.empty(size, dtype=np.int32)
        self.code = np.empty(size, dtype=table.counts.indices.dtype)
        self.keys = np.empty(size, dtype=table.dtype)

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Returns the sorted ranks of the cells from :obj:`start` to :obj:`stop`, each with rank 0
        before it, and how many they are. The next call writes over the ranks."""
        counts, table = self.table.counts, self.table
        first, last = int(counts.indptr[start]), int(counts.indptr[stop])
        size, num_cells = last - first, stop - start

        # Places in the table of columns by counts.
        whole, code = self.whole[:size], self.code[:size]
        with np.errstate(invalid="ignore"):  # What is no int32 is not in the table.
            whole[...] = counts.data[first:last]
        np.left_shift(counts.indices[first:last], table.table_bits, out=code)
        code += whole

        # A key has the cell in its high and the rank in its low bits: one sort does for all cells.
        keys = self.keys[: size + num_cells]
        table.table.take(code, mode="clip", out=keys[:size])
        rare = slice(*table.rare.searchsorted((first, last)))
        keys[table.rare[rare] - first] = table.rare_rank[rare]
        cells = np.arange(num_cells, dtype=table.dtype) << self.cell_bits
        keys[:size] |= np.repeat(cells, np.diff(counts.indptr[start : stop + 1]))
        keys[size:] = cells
        keys.sort()

        ends = keys.searchsorted(np.append(cells, table.unmatched))
        ranks = keys[: ends[-1]]
        ranks &= self.rank_mask
        return ranks, np.diff(ends)


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
