from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.data import CellTokens
from stofm_pyg.loader import MaskGenes, TokenBatches
from stofm_pyg.loader.token_batch import IGNORED, pad_cells, stack_views
from stofm_pyg.loader.token_batches import cut_by_tokens


def make_cells(lengths):
    """Cell i is the tokens 100 i, 100 i + 1, ..."""
    lengths = torch.as_tensor(lengths)
    ptr = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    tokens = torch.cat([100 * i + torch.arange(int(n)) for i, n in enumerate(lengths)])
    return CellTokens(tokens, ptr)


def as_list(batches):
    return [(b.input_ids.tolist(), None if b.labels is None else b.labels.tolist()) for b in batches]


def test_padding():
    batch = pad_cells(make_cells([3, 1, 2]), torch.tensor([2, 0]), pad_token_id=9)
    assert batch.input_ids.tolist() == [[200, 201, 9], [0, 1, 2]]
    assert batch.attention_mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.input_ids.dtype == torch.int64 and batch.cells.tolist() == [2, 0]


def test_views_are_stacked_one_after_the_other():
    cells = make_cells([3, 2])
    views = [pad_cells(cells, torch.tensor([0, 1]), 7) for _ in range(2)]
    short = pad_cells(cells.truncate(1), torch.tensor([0, 1]), 7)
    both = stack_views([views[0], short], 7)
    assert both.input_ids.tolist() == [[0, 1, 2], [100, 101, 7], [0, 7, 7], [100, 7, 7]]
    assert both.attention_mask.sum(dim=1).tolist() == [3, 2, 1, 1]
    assert both.num_views == 2 and both.labels is None and both.cells.tolist() == [0, 1]


def test_labels_are_stacked_with_what_is_ignored():
    cells = make_cells([3])
    mask = MaskGenes(torch.arange(3), mask_token_id=50, rate=1.0, mask_share=1.0, random_share=0.0)
    generator = torch.Generator().manual_seed(0)
    parts = (cells, cells.truncate(2))
    views = [mask(pad_cells(part, torch.tensor([0]), 7), generator) for part in parts]
    assert stack_views(views, 7).labels.tolist() == [[0, 1, 2], [0, 1, IGNORED]]


def test_cuts():
    # 2 x 2, then 3 x 3 = 9 <= 10, then 4 alone as 2 x 6 > 10, then 6, then 20 which is too long.
    assert cut_by_tokens(np.array([2, 2, 3, 4, 6, 20]), 10).tolist() == [0, 3, 4, 5, 6]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 200))
def test_an_epoch_has_each_cell_once_within_the_budget(lengths, max_tokens):
    cells = make_cells(lengths)
    count = len(cut_by_tokens(np.sort(lengths), max_tokens)) - 1
    batches = list(islice(TokenBatches(cells, max_tokens), count))
    assert torch.cat([b.cells for b in batches]).sort().values.tolist() == list(range(len(lengths)))
    for batch in batches:
        assert batch.num_tokens <= max_tokens or batch.input_ids.size(0) == 1
        for row, cell in zip(range(len(batch.cells)), batch.cells, strict=True):
            assert batch.input_ids[row][batch.attention_mask[row]].tolist() == cells[int(cell)].tolist()


def test_little_is_padding():
    lengths = np.random.default_rng(0).integers(20, 120, 2000)
    cells = make_cells(lengths)
    batches = list(islice(TokenBatches(cells, 2048), 60))
    kept = sum(int(b.attention_mask.sum()) for b in batches)
    assert kept / sum(b.num_tokens for b in batches) > 0.95


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
    assert one.num_views == 2 and one.input_ids.size(0) == 8
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
