import pytest
import torch

from stofm_pyg.models.folded_layer import FoldedLayer
from stofm_pyg.models.packed_attention import packed_attention
from stofm_pyg.models.packed_cells import pack_cells
from tests.cell_encoders import RAGGED, make_encoder


def reference(layer, x, cells):
    attention = layer.attention.self
    q, k, v = (
        lin(x).unflatten(-1, (attention.num_attention_heads, -1))
        for lin in (attention.query, attention.key, attention.value)
    )
    x = layer.attention.output(packed_attention(q, k, v, cells), x)
    return layer.output(layer.intermediate(x), x)


@pytest.mark.parametrize("act", ["relu", "gelu", "gelu_new"])
@torch.no_grad()
def test_a_folded_layer_is_the_layer(act):
    layer = make_encoder(act=act).bert.encoder.layer[1]
    cells = pack_cells(torch.tensor([0, *RAGGED]).cumsum(0))
    x = torch.randn(sum(RAGGED), 16)
    expected = reference(layer, x, cells)
    weights = {name: weight.clone() for name, weight in layer.state_dict().items()}

    folded = FoldedLayer(layer, torch.device("cpu"), torch.float32)
    assert torch.allclose(folded.first_tokens(x, cells), expected[cells.ptr[:-1]], atol=1e-5)
    assert torch.allclose(folded(x.clone(), folded.project(x), cells), expected, atol=1e-5)
    for name, weight in layer.state_dict().items():  # What is computed in place is not the layer's.
        assert torch.equal(weight, weights[name]), name


@torch.no_grad()
def test_first_tokens_leave_their_input_alone():
    layer = make_encoder().bert.encoder.layer[0]
    cells = pack_cells(torch.tensor([0, 3, 5]))
    x = torch.randn(5, 16)
    before = x.clone()
    FoldedLayer(layer, torch.device("cpu"), torch.float32).first_tokens(x, cells)
    assert torch.equal(x, before)
