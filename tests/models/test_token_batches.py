import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.models.token_batches import token_batches


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 50))
def test_each_cell_is_in_one_full_batch_beside_cells_of_like_length(lengths, budget):
    batches = [batch.tolist() for batch in token_batches(torch.tensor(lengths), budget)]
    assert sorted(sum(batches, [])) == list(range(len(lengths)))
    sizes = [[lengths[cell] for cell in batch] for batch in batches]
    flat = sum(sizes, [])
    assert flat == sorted(flat, reverse=True)
    assert all(sum(size) <= budget or len(size) == 1 for size in sizes)
    for size, after in zip(sizes, sizes[1:], strict=False):  # No cell more would have fitted.
        assert sum(size) + after[0] > budget


def test_a_budget_of_nothing():
    with pytest.raises(ValueError, match="'token_budget' must be at least 1 \\(got 0\\)"):
        token_batches(torch.tensor([1]), 0)
