import importlib

import numpy as np
import pytest
import torch
from scipy import sparse

from stofm_pyg.data.rank_cells import rank_cells
from stofm_pyg.data.rank_table import RankTable

module = importlib.import_module("stofm_pyg.data.rank_cells")

COUNTS = [[1, 0, 4], [0, 0, 0], [0, 3, 0], [2, 9, 2], [0, 0, 1]]
EXPECTED = [[9, 3, 5], [9], [9], [9, 5, 3], [9, 3]]


@pytest.fixture
def table():
    counts = sparse.csr_matrix(np.array(COUNTS, dtype=np.float32))
    tokens, medians = np.array([5, 3]), np.array([1.0, 2.0])
    return RankTable(counts, np.array([0, -1, 1]), tokens, medians, first_token=9)


@pytest.fixture(params=[1, 2, 7])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def cells(ranked):
    assert ranked.tokens.dtype == np.int32 and ranked.tokens.base is None
    assert ranked.lengths.sum() == len(ranked.tokens)
    return [part.tolist() for part in np.split(ranked.tokens, np.cumsum(ranked.lengths)[:-1])]


@pytest.mark.parametrize("values", [1, 2, 100])
def test_chunks_and_threads(table, threads, values, monkeypatch):
    monkeypatch.setattr(module, "VALUES_PER_CHUNK", values)
    ranked = rank_cells(table, 10)
    assert cells(ranked) == EXPECTED and ranked.values is None
    assert (ranked.num_without_genes, ranked.num_truncated) == (2, 0)

    ranked = rank_cells(table, 1, add_first=False, scale=np.array([10.0, 1, 1, 100, 1000]))
    assert cells(ranked) == [[3], [], [], [5], [3]]
    assert ranked.values.tolist() == [20.0, 200.0, 500.0]
    assert (ranked.num_without_genes, ranked.num_truncated) == (2, 2)


def test_the_number_of_a_cell_fits_into_a_key(table):
    table.bits = 31  # As if there were so many ranks: one bit is left for the cell.
    assert module._chunk_bounds(table) == [0, 2, 4, 5]
    assert cells(rank_cells(table, 10)) == EXPECTED
