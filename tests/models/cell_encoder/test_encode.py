import io
import sys
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stofm_pyg.models.cell_encoder.encode as module
from stofm_pyg.models.cell_encoder.encode import encode_cells, run_in_threads, token_batches
from stofm_pyg.models.cell_encoder.folded import FoldedEncoder
from tests.cell_encoders import make_cells, make_encoder, transformers_embedding


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


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_results_come_in_order_from_threads_of_one(num_threads):
    torch.set_num_threads(num_threads)
    both = threading.Barrier(num_threads)

    def function(item):
        if item < num_threads:
            both.wait(timeout=30)  # As many run at a time.
        return 2 * item, torch.get_num_threads(), threading.get_ident()

    out = list(run_in_threads(function, range(20)))
    assert [result for result, _, _ in out] == list(range(0, 40, 2))
    assert {threads for _, threads, _ in out} == {1}
    assert len({ident for _, _, ident in out}) == num_threads
    assert torch.get_num_threads() == num_threads
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [num_threads]  # What later threads get is as before, too.


def test_an_error_stops_what_has_not_begun():
    torch.set_num_threads(2)
    done = []

    def function(item):
        if item == 3:
            raise ValueError("no such cell")
        done.append(item)

    with pytest.raises(ValueError, match="no such cell"):
        list(run_in_threads(function, range(10_000)))
    assert len(done) < 10_000
    assert torch.get_num_threads() == 2


def test_nothing_to_do():
    assert list(run_in_threads(abs, [])) == []


LENGTHS = tuple((7 * i) % 11 + 1 for i in range(36))


def fold(encoder, cells):
    return FoldedEncoder(encoder.bert, encoder.proj, cells.tokens, torch.device("cpu"), torch.float32)


@pytest.fixture(params=[1, 2])
def num_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_cells_keep_their_order_in_batches_of_any_size(num_threads):
    encoder, cells = make_encoder(), make_cells(LENGTHS)
    folded = fold(encoder, cells)
    with torch.no_grad():
        expected = transformers_embedding(encoder, cells)
    for token_budget in (1, 25, 100, None):
        out = encode_cells(folded, cells, token_budget)
        assert out.shape == (36, 6) and out.device.type == "cpu" and not out.requires_grad
        assert torch.allclose(out, expected, atol=1e-5)
    assert torch.get_num_threads() == num_threads


def test_one_batch_ahead_gives_the_same(monkeypatch):
    assert list(module._one_ahead(range(5))) == [0, 1, 2, 3, 4]
    assert list(module._one_ahead([])) == []
    begun = []
    first = next(module._one_ahead(map(begun.append, range(5))), "nothing")
    assert first is None or len(begun) >= 2


def test_no_cells():
    encoder, cells = make_encoder(), make_cells((3,))
    assert encode_cells(fold(encoder, cells), cells[:0]).shape == (0, 6)


def test_a_progress_bar_counts_cells(monkeypatch):
    encoder, cells = make_encoder(), make_cells((3, 2, 5))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    encode_cells(fold(encoder, cells), cells, token_budget=5, progress=True)
    assert "3/3" in sys.stderr.getvalue() and "Encoding" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    encode_cells(fold(encoder, cells), cells)
    assert sys.stderr.getvalue() == ""
