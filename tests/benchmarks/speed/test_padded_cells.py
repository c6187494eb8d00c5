import pytest
import torch

from benchmarks.speed.padded_cells import PaddedCells
from tests.cell_encoders import make_cells, make_encoder, transformers_states

LENGTHS = tuple((5 * i) % 13 + 1 for i in range(70))


def test_it_is_the_official_loop(monkeypatch):
    encoder, cells = make_encoder().train(), make_cells(LENGTHS)
    side = PaddedCells(encoder, cells)
    seen = []
    encoder.bert.register_forward_pre_hook(lambda module, args: seen.append(args))
    out = side()
    assert [list(tokens.shape) for tokens, _ in seen] == [
        [len(LENGTHS[i : i + 32]), max(LENGTHS[i : i + 32])] for i in (0, 32, 64)
    ]
    for tokens, mask in seen:
        assert torch.equal(tokens == 0, mask == 0)
    with torch.no_grad():
        states, _ = transformers_states(encoder, cells)
        expected = torch.nn.functional.normalize(encoder.proj(states[:, 0]), dim=-1)
    assert torch.allclose(out, expected, atol=1e-5)


def test_padding_is_what_no_cell_has():
    side = PaddedCells(make_encoder(), make_cells((2,) * 31 + (10,) + (3, 1)))
    assert side.padding() == pytest.approx(1 - (62 + 10 + 4) / (320 + 6))
