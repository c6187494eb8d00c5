import json

import torch

from benchmarks.speed.cell_encoder import CellEncoder, CellEncoderBenchmark, encode_padded
from tests.cell_encoders import make_cells, make_encoder, transformers_embedding

TINY = ["--repeats", "1", "--device", "cpu"]


def test_both_sides(here, slice_and_vocab, tmp_path, capsys):
    path = tmp_path / "rows.json"
    args = [*TINY, *slice_and_vocab, "--cells", "80", "--json", str(path)]
    assert CellEncoderBenchmark.main(args) == 0
    official, ours = json.loads(path.read_text())
    assert (official["side"], ours["side"]) == ("official", "stofm_pyg")
    assert official["median_s"] > 0 and ours["median_s"] > 0 and 0 < ours["max_abs_error"] < 1e-5
    assert CellEncoderBenchmark.main([*TINY, *slice_and_vocab, "--cells", "81"]) == 2
    assert "has 80 cells, fewer than --cells 81" in capsys.readouterr().err


def test_results_that_differ_are_not_timed(here, slice_and_vocab, monkeypatch, capsys):
    original = CellEncoder.encode
    monkeypatch.setattr(CellEncoder, "encode", lambda *args: original(*args) + 2e-5)
    assert CellEncoderBenchmark.main([*TINY, *slice_and_vocab, "--cells", "40"]) == 2
    assert "'stofm_pyg' differs from 'official' by 2.0e-05 at 40 cells" in capsys.readouterr().err


def test_it_is_the_official_loop():
    encoder, cells, shapes = make_encoder(), make_cells(tuple((5 * i) % 13 + 1 for i in range(70))), []
    encoder.bert.register_forward_pre_hook(lambda module, args: shapes.append(args[0].shape))
    out = encode_padded(encoder, cells)
    assert shapes == [(32, 13), (32, 13), (6, 11)]
    torch.testing.assert_close(out, transformers_embedding(encoder, cells), atol=1e-5, rtol=0)
