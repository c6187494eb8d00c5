import numpy as np
from scipy import sparse

# Counts up to the usual ones are looked up in a table of columns by counts. Its size is kept below an
# eighth of the number of counts, so that it costs less than what it saves.
USUAL = 0.98
MAX_BITS = 12
SAMPLE = 4096
VALUES_PER_BLOCK = 2**16
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
