import importlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data.tokens.ranking import ChunkSorter, RankTable, rank_cells

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


module = importlib.import_module("stofm_pyg.data.tokens.ranking")

TABLE_COUNTS = sparse.csr_matrix(np.array([[1, 2, 5, 900], [0, 900, 1, 2]], dtype=np.float32))
TABLE_GENE = np.array([1, -1, 0, 2])
TABLE_TOKENS, TABLE_MEDIANS = np.array([7, 5, 9]), np.array([1.0, 0.5, 0.25])


def make(bits, monkeypatch, narrow=24):
    monkeypatch.setattr(module, "_table_bits", lambda counts: bits)
    monkeypatch.setattr(module, "NARROW_BITS", narrow)
    return RankTable(TABLE_COUNTS, TABLE_GENE, TABLE_TOKENS, TABLE_MEDIANS, first_token=11)


def found(table):
    """(token, value) of each count, None where its column has no gene."""
    out = []
    for position, (column, count) in enumerate(
        zip(TABLE_COUNTS.indices, TABLE_COUNTS.data, strict=True)
    ):
        if position in table.rare:
            rank = table.rare_rank[list(table.rare).index(position)]
        else:
            rank = table.table[(column << table.table_bits) + int(count)]
        unknown = rank == table.unmatched
        out.append(None if unknown else (int(table.tokens[rank]), float(table.values[rank])))
    return out


@pytest.mark.parametrize("bits", [1, 2, 3, 10])
@pytest.mark.parametrize("narrow, dtype", [(24, np.uint32), (1, np.uint64)])
def test_every_count_has_its_gene_and_value(bits, narrow, dtype, monkeypatch):
    table = make(bits, monkeypatch, narrow)
    assert table.dtype == dtype
    assert found(table) == [
        (5, 2.0), None, (7, 5.0), (9, 3600.0), None, (7, 1.0), (9, 8.0)
    ]  # fmt: skip
    assert table.tokens[0] == 11 and table.values[0] == np.inf
    pairs = list(zip(-table.values, table.tokens, strict=True))
    assert pairs == sorted(pairs)
    assert len(table.tokens) < 1 << table.bits


def test_counts_beyond_the_table_are_found(monkeypatch):
    monkeypatch.setattr(module, "VALUES_PER_BLOCK", 2)
    assert [make(bits, monkeypatch).rare.tolist() for bits in (1, 2, 3, 10)] == [
        [1, 2, 3, 4, 6], [2, 3, 4], [3, 4], []
    ]  # fmt: skip


value = st.sampled_from([0.1, 0.2, 0.30000000000000004, 0.3, 1.0, 2.0, 7.0])


@given(st.lists(st.tuples(value, st.integers(0, 5)), max_size=30))
def test_equal_values_by_token(pairs):
    values = np.array([pair[0] for pair in pairs])
    tokens = np.array([pair[1] for pair in pairs], dtype=np.int64)
    order = module._falling(values, tokens)
    assert sorted(order.tolist()) == list(range(len(pairs)))
    assert [(-values[i], tokens[i]) for i in order] == sorted(zip(-values, tokens, strict=True))


@pytest.mark.parametrize("largest, rows, bits", [(1, 100, 1), (3, 100, 2), (3, 1, 1), (100, 3000, 7)])
def test_the_table_is_small_beside_the_counts(largest, rows, bits):
    counts = np.full((rows, 5), largest, dtype=np.float32)
    counts[0, 0] = 1e30  # One large count does not make the table large.
    counts = sparse.csr_matrix(counts)
    assert module._table_bits(counts) == bits
    assert rows == 1 or (5 << bits) <= counts.nnz / 8


def test_no_counts():
    empty = sparse.csr_matrix((0, 4), dtype=np.float32)
    assert len(RankTable(empty, TABLE_GENE, TABLE_TOKENS, TABLE_MEDIANS, 11).rare) == 0


CELL_COUNTS = [[1, 0, 4], [0, 0, 0], [0, 3, 0], [2, 9, 2], [0, 0, 1]]
CELL_EXPECTED = [[9, 3, 5], [9], [9], [9, 5, 3], [9, 3]]


@pytest.fixture
def table():
    counts = sparse.csr_matrix(np.array(CELL_COUNTS, dtype=np.float32))
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
    assert cells(ranked) == CELL_EXPECTED and ranked.values is None
    assert (ranked.num_without_genes, ranked.num_truncated) == (2, 0)

    ranked = rank_cells(table, 1, add_first=False, scale=np.array([10.0, 1, 1, 100, 1000]))
    assert cells(ranked) == [[3], [], [], [5], [3]]
    assert ranked.values.tolist() == [20.0, 200.0, 500.0]
    assert (ranked.num_without_genes, ranked.num_truncated) == (2, 2)


def test_the_number_of_a_cell_fits_into_a_key(table):
    table.bits = 31  # As if there were so many ranks: one bit is left for the cell.
    assert module._chunk_bounds(table) == [0, 2, 4, 5]
    assert cells(rank_cells(table, 10)) == CELL_EXPECTED
