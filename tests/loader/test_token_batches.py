from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data import CellTokens
from stofm_pyg.loader import MaskGenes, TokenBatches
from stofm_pyg.loader.token_batches import batches_by_length, cut_by_tokens


def make_cells(lengths):
    """Cell i is the tokens 100 i, 100 i + 1, ..."""
    lengths = torch.as_tensor(lengths)
    ptr = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    tokens = torch.cat([100 * i + torch.arange(int(n)) for i, n in enumerate(lengths)])
    return CellTokens(tokens, ptr)


def as_list(batches):
    return [[x if x is None else x.tolist() for x in (b.tokens, b.lengths, b.labels)] for b in batches]


def test_cuts():
    # 2 + 2 + 3, as 4 more is too much, then 4 + 6 = 10, then 20 which is too long.
    assert cut_by_tokens(np.array([2, 2, 3, 4, 6, 20]), 10).tolist() == [0, 3, 5, 6]
    assert cut_by_tokens(np.array([], dtype=np.int64), 10).tolist() == [0]


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 50))
def test_each_cell_is_in_one_full_batch_beside_cells_of_like_length(lengths, budget):
    batches = [batch.tolist() for batch in batches_by_length(torch.tensor(lengths), budget)]
    assert sorted(sum(batches, [])) == list(range(len(lengths)))
    sizes = [[lengths[cell] for cell in batch] for batch in batches]
    flat = sum(sizes, [])
    assert flat == sorted(flat, reverse=True)
    assert all(sum(size) <= budget or len(size) == 1 for size in sizes)
    for size, after in zip(sizes, sizes[1:], strict=False):  # No cell more would have fitted.
        assert sum(size) + after[0] > budget


def test_a_budget_of_nothing():
    with pytest.raises(ValueError, match="'token_budget' must be at least 1 \\(got 0\\)"):
        batches_by_length(torch.tensor([1]), 0)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 200))
def test_an_epoch_has_each_cell_once_within_the_budget(lengths, max_tokens):
    cells = make_cells(lengths)
    count = len(cut_by_tokens(np.sort(lengths), max_tokens)) - 1
    batches = list(islice(TokenBatches(cells, max_tokens), count))
    assert torch.cat([b.cells for b in batches]).sort().values.tolist() == list(range(len(lengths)))
    for batch in batches:
        assert batch.num_tokens <= max_tokens or len(batch.cells) == 1
        for row, cell in zip(batch.tokens.split(batch.lengths.tolist()), batch.cells, strict=True):
            assert row.tolist() == cells[int(cell)].tolist()


def test_cells_of_a_batch_are_of_few_lengths_and_many_tokens():
    lengths = np.random.default_rng(0).integers(20, 120, 2000)
    batches = list(islice(TokenBatches(make_cells(lengths), 2048), 60))
    assert np.mean([len(batch.lengths.unique()) for batch in batches]) < 4
    assert np.mean([batch.num_tokens for batch in batches]) > 0.95 * 2048


def test_epochs_and_seeds_differ():
    cells = make_cells(np.random.default_rng(0).integers(5, 20, 100))
    count = len(cut_by_tokens(cells.lengths.sort().values.numpy(), 100)) - 1
    first = as_list(islice(TokenBatches(cells, 100), 2 * count))
    assert first == as_list(islice(TokenBatches(cells, 100), 2 * count))
    assert first[:count] != first[count:]
    assert first[:count] != as_list(islice(TokenBatches(cells, 100, seed=1), count))


@pytest.mark.parametrize("start", [1, 7, 40])
def test_goes_on_from_any_step(start):
    cells = make_cells(np.random.default_rng(1).integers(5, 20, 100))
    mask = MaskGenes(cells.tokens.unique(), mask_token_id=20_000)
    whole = as_list(islice(TokenBatches(cells, 100, transform=mask, num_views=2, seed=3), 45))
    rest = TokenBatches(cells, 100, transform=mask, num_views=2, seed=3, start=start)
    assert as_list(islice(rest, 45 - start)) == whole[start:]


def test_views_and_steps_are_masked_differently():
    cells = make_cells([30] * 4)
    mask = MaskGenes(cells.tokens.unique(), mask_token_id=20_000)
    one, two = islice(TokenBatches(cells, 1000, transform=mask, num_views=2), 2)
    first, second = one.labels.chunk(2)
    assert one.num_views == 2 and one.lengths.tolist() == [30] * 8
    assert not torch.equal(first, second) and not torch.equal(one.labels, two.labels)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    cells = make_cells([30] * 4)
    list(islice(TokenBatches(cells, 60, transform=MaskGenes(cells.tokens.unique())), 5))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("bad", [{"max_tokens": 0}, {"num_views": 0}, {"start": -1}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad.values()))}"):
        TokenBatches(make_cells([2]), **bad)


def test_no_cell():
    with pytest.raises(ValueError, match="There is no cell to make batches of"):
        TokenBatches(CellTokens(torch.empty(0, dtype=torch.int32), torch.zeros(1, dtype=torch.int64)))


def test_repr():
    assert repr(TokenBatches(make_cells([2, 1]), 10)) == (
        "TokenBatches(CellTokens(num_cells=2, num_tokens=3), max_tokens=10, num_views=1)"
    )
