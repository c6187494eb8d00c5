import io
import sys
import threading

import pytest
import torch

import stofm_pyg.models.cell_encoder.encode as module
from stofm_pyg.models.cell_encoder.encode import encode_cells, run_in_threads
from tests.cell_encoders import make_cells, make_encoder, transformers_embedding

LENGTHS = tuple((7 * i) % 11 + 1 for i in range(36))


def encode(encoder, cells, *args, dtype=torch.float32, **kwargs):
    device = torch.device("cpu")
    return encode_cells(encoder.bert, encoder.proj, cells, device, dtype, *args, **kwargs)


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


@pytest.mark.parametrize("num_threads", [1, 2])
def test_cells_keep_their_order_in_batches_of_any_size(num_threads):
    torch.set_num_threads(num_threads)
    encoder, cells = make_encoder(), make_cells(LENGTHS)
    with torch.no_grad():
        expected = transformers_embedding(encoder, cells)
    for token_budget in (1, 25, 100, None):
        out = encode(encoder, cells, token_budget)
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
    assert encode(encoder, cells[:0]).shape == (0, 6)


def test_a_progress_bar_counts_cells(monkeypatch):
    encoder, cells = make_encoder(), make_cells((3, 2, 5))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    encode(encoder, cells, token_budget=5, progress=True)
    assert "3/3" in sys.stderr.getvalue() and "Encoding" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    encode(encoder, cells)
    assert sys.stderr.getvalue() == ""


def test_in_half_precision_and_in_double():
    encoder, cells = make_encoder(), make_cells()
    with torch.no_grad():
        expected = transformers_embedding(encoder, cells)
    half = encode(encoder, cells, dtype=torch.bfloat16)
    assert half.dtype == torch.float32 and 1e-5 < (half - expected).abs().max() < 0.1
    double = encode(encoder, cells, dtype=torch.float64)
    assert double.dtype == torch.float32 and torch.allclose(double, expected, atol=1e-5)
    assert encoder.proj.weight.dtype == torch.float32


def test_the_modules_of_the_caller_stay_in_training():
    encoder, cells = make_encoder(dropout=0.5), make_cells()
    expected = encode(encoder, cells)
    encoder.train()
    encoder.bert.encoder.eval()
    assert torch.equal(encode(encoder, cells), expected)
    assert encoder.bert.training and not encoder.bert.encoder.training


def test_a_budget_of_nothing():
    with pytest.raises(ValueError, match="'token_budget' must be at least 1 \\(got 0\\)"):
        encode(make_encoder(), make_cells(), 0)
