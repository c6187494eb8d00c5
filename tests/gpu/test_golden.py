import pytest
import torch

from stofm_pyg.models import CellEncoder
from tests.cell_encoders import write_golden
from tests.golden_case import CASES, GoldenCase, largest_error, run_encoder
from tests.nn.attention_case import FLEX_WARNING, use_plain_flex_attention
from tests.nn.encoder_case import with_evaluator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings(FLEX_WARNING),
    pytest.mark.usefixtures("exact"),
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("evaluator", ["dense", "blocked", "fused", "auto"])
def test_agrees_with_the_official_code(device, monkeypatch, name, evaluator):
    if device.type == "cpu":
        use_plain_flex_attention(monkeypatch)
    case = GoldenCase(name)
    encoder = with_evaluator(case.encoder(), evaluator).to(device)
    with torch.no_grad():
        output = run_encoder(encoder, case.batch().to(device))
    assert output.x.device.type == device.type
    for layer, hidden in enumerate(output.hidden_states):
        assert largest_error(hidden.cpu(), case.nodes(f"out.hidden.{layer}")) <= 1e-5
    assert largest_error(output.x.cpu(), case.nodes("out.last_hidden_state")) <= 1e-5
    dense = output.pair.dense().cpu()[case.valid_pairs]
    assert largest_error(dense, case.pairs("out.pair_rep")) <= 1e-5


def test_the_official_cell_encoder(device, tmp_path):
    cells, expected = write_golden(tmp_path)
    encoder = CellEncoder.from_official(tmp_path).to(device).eval()
    assert (encoder.encode(cells) - expected).abs().max() <= 1e-5
