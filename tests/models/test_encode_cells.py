import io
import sys

import pytest
import torch

import stofm_pyg.models.encode_cells as module
from stofm_pyg.models.encode_cells import encode_cells
from stofm_pyg.models.folded_encoder import FoldedEncoder
from tests.cell_encoders import make_cells, make_encoder, transformers_embedding

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
