import pytest
import torch

from stofm_pyg.models.folded_encoder import FoldedEncoder
from stofm_pyg.models.packed_cells import pack_cells
from tests.cell_encoders import make_cells, make_encoder, transformers_embedding


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
