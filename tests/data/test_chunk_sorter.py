import numpy as np
import pytest
from scipy import sparse

from stofm_pyg.data.chunk_sorter import ChunkSorter
from stofm_pyg.data.rank_table import RankTable

COUNTS = np.array([[1, 0, 4], [0, 0, 0], [0, 3, 0], [2, 9, 2], [0, 0, 1]], dtype=np.float32)
GENE, TOKENS, MEDIANS = np.array([0, -1, 1]), np.array([5, 3]), np.array([1.0, 2.0])
EXPECTED = [[9, 3, 5], [9], [9], [9, 5, 3], [9, 3]]


@pytest.mark.parametrize("bounds", [[0, 5], [0, 1, 2, 3, 4, 5], [0, 2, 5], [2, 4, 5]])
@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_ranks_of_each_cell_in_order(bounds, index_type):
    counts = sparse.csr_matrix(COUNTS)
    counts.indices, counts.indptr = counts.indices.astype(index_type), counts.indptr.astype(index_type)
    table = RankTable(counts, GENE, TOKENS, MEDIANS, first_token=9)
    sorter = ChunkSorter(table, bounds)
    cells = []
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        ranks, sizes = sorter(start, stop)
        assert sizes.sum() == len(ranks)
        cells += [part.tolist() for part in np.split(table.tokens[ranks], np.cumsum(sizes)[:-1])]
    assert cells == EXPECTED[bounds[0] :]
