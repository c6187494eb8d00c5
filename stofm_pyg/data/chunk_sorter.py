import numpy as np

from stofm_pyg.data.rank_table import RankTable


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
