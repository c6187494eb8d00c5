import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.models.packed_cells import pack_cells


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_token_is_packed_once_in_the_order_of_its_cell(lengths, random):
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    chosen = random.sample(range(len(lengths)), random.randint(1, len(lengths)))
    packed = pack_cells(ptr, torch.tensor(chosen))
    assert sorted(packed.cells.tolist()) == sorted(chosen)
    found = packed.ptr.diff().tolist()
    assert found == sorted(found) == [lengths[cell] for cell in packed.cells.tolist()]
    assert [length for count, length in packed.groups for _ in range(count)] == found
    start = 0
    for cell, length in zip(packed.cells.tolist(), found, strict=True):
        rows = slice(start, start + length)
        assert packed.index[rows].tolist() == list(range(int(ptr[cell]), int(ptr[cell + 1])))
        assert packed.positions[rows].tolist() == list(range(length))
        start += length
    assert packed.index.numel() == start


def test_all_cells_by_default_and_ties_in_order():
    packed = pack_cells(torch.tensor([0, 2, 3, 5]))
    assert packed.cells.tolist() == [1, 0, 2]
    assert packed.index.tolist() == [2, 0, 1, 3, 4]
    assert packed.positions.tolist() == [0, 0, 1, 0, 1]
    assert packed.ptr.tolist() == [0, 1, 3, 5] and packed.groups == [(1, 1), (2, 2)]
    assert packed.to(torch.device("cpu")).groups == packed.groups
