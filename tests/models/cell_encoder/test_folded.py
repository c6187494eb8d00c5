import pytest
import torch
import torch.nn.functional as F

from stofm_pyg.models.cell_encoder.folded import FoldedEncoder, FoldedLayer, ProjectedEmbeddings
from stofm_pyg.models.cell_encoder.packed import pack_cells, packed_attention
from tests.cell_encoders import RAGGED, make_cells, make_encoder, transformers_embedding


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


@torch.no_grad()
def test_it_is_a_linear_layer_of_normalised_embeddings():
    torch.manual_seed(0)
    words, positions = torch.randn(7, 16) + 3, torch.randn(5, 16)
    norm = (torch.randn(16), torch.randn(16), 1e-12)
    weight, bias = torch.randn(12, 16), torch.randn(4)
    tokens, places = torch.randint(0, 7, (40,)), torch.randint(0, 5, (40,))
    x, projected = ProjectedEmbeddings(words, positions, norm, weight, bias)(tokens, places)
    expected = F.layer_norm(words[tokens] + positions[places], (16,), *norm)
    assert torch.allclose(x, expected, atol=1e-6)
    expected = F.linear(expected, weight, F.pad(bias, (0, 8)))
    assert torch.allclose(projected, expected, atol=1e-5)


def fold(encoder, cells, dtype=torch.float32):
    return FoldedEncoder(encoder.bert, encoder.proj, cells.tokens, torch.device("cpu"), dtype)


@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize("by_table", [True, False])
def test_it_is_the_model_of_transformers(num_layers, by_table):
    encoder, cells = make_encoder(num_layers=num_layers), make_cells()
    folded = fold(encoder, cells)
    assert (folded.projected is not None) == (num_layers > 1)
    if not by_table:
        folded.projected = None
    packed = pack_cells(cells.ptr, torch.tensor([3, 1, 7, 2]))
    out = folded(cells.tokens[packed.index], packed)
    with torch.no_grad():
        expected = transformers_embedding(encoder, cells)[packed.cells]
    assert out.dtype == torch.float32 and not out.requires_grad
    assert torch.allclose(out, expected, atol=1e-5)
    assert torch.allclose(out.norm(dim=-1), torch.ones(4), atol=1e-6)


def test_in_half_precision_and_in_double():
    encoder, cells = make_encoder(), make_cells()
    packed = pack_cells(cells.ptr)
    with torch.no_grad():
        expected = transformers_embedding(encoder, cells)[packed.cells]
    half = fold(encoder, cells, torch.bfloat16)(cells.tokens[packed.index], packed)
    assert half.dtype == torch.float32 and 1e-5 < (half - expected).abs().max() < 0.1
    double = fold(encoder, cells, torch.float64)(cells.tokens[packed.index], packed)
    assert double.dtype == torch.float32 and torch.allclose(double, expected, atol=1e-5)


def test_it_holds_no_embedding_of_a_gene_that_no_cell_has():
    encoder = make_encoder(vocab_size=20)
    cells = make_cells((4, 2))
    assert fold(encoder, cells).words.shape == (len(cells.tokens.unique()), 16)
