import pytest
import torch
import torch.nn.functional as F

from stofm_pyg.nn import SliceEncoder
from tests.cell_encoders import make_cells
from tests.cell_encoders import make_encoder as make_cell_encoder
from tests.nn.attention_case import use_plain_flex_attention
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def plain_on_a_cpu(device, monkeypatch):
    if device.type == "cpu":
        use_plain_flex_attention(monkeypatch)
    elif not torch.cuda.is_bf16_supported():
        pytest.skip(f"{torch.cuda.get_device_name()} does not compute in bfloat16")


@pytest.mark.parametrize("evaluator", ["dense", "blocked", "fused"])
def test_embeddings_in_bf16(device, evaluator):
    torch.manual_seed(0)
    encoder = SliceEncoder(64, 64, 4, heads=4, num_gaussians=32, evaluator=evaluator).to(device).eval()
    data = random_batch(sizes=(200, 60), channels=64, special=(2, 2)).to(device)
    with torch.no_grad():
        expected = encoder(*arguments(data)).x
        with torch.autocast(device.type, torch.bfloat16):
            output = encoder(*arguments(data))
    assert output.pair.far.dtype == torch.float32
    assert float(F.cosine_similarity(output.x.float(), expected).min()) > 0.999


def test_cells_in_bf16(device):
    encoder, cells = make_cell_encoder().to(device), make_cells((5, 16, 9, 12) * 8)
    expected, out = encoder.encode(cells), encoder.bfloat16().encode(cells)
    assert float(F.cosine_similarity(out.float(), expected).min()) > 0.99
    assert float(F.cosine_similarity(out.float(), expected).mean()) > 0.999
