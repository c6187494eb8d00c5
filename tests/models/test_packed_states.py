import torch

from stofm_pyg.models.packed_cells import pack_cells
from stofm_pyg.models.packed_states import packed_states
from tests.cell_encoders import make_cells, make_encoder, transformers_states


def test_states_and_all_gradients_are_those_of_transformers():
    encoder, cells = make_encoder(), make_cells()
    padded, mask = transformers_states(encoder, cells)
    expected = padded[mask]
    packed = pack_cells(cells.ptr)
    states = packed_states(encoder.bert, cells.tokens[packed.index], packed)
    states = torch.empty_like(expected).index_copy(0, packed.index, states)
    assert torch.allclose(states, expected, atol=1e-5)

    weight = torch.randn_like(expected)
    named = dict(encoder.bert.named_parameters())
    ours, theirs = (
        torch.autograd.grad((x * weight).sum(), list(named.values()), retain_graph=True)
        for x in (states, expected)
    )
    for name, a, b in zip(named, ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(1 + b.abs().max())), name


def test_dropout_in_training_alone():
    encoder, cells = make_encoder(dropout=0.4), make_cells((6, 6, 3))
    packed = pack_cells(cells.ptr)
    tokens = cells.tokens[packed.index]
    assert torch.equal(*(packed_states(encoder.bert, tokens, packed) for _ in range(2)))
    encoder.train()
    assert not torch.allclose(*(packed_states(encoder.bert, tokens, packed) for _ in range(2)))
    for layer in encoder.bert.encoder.layer:  # Attention weights are dropped too.
        layer.attention.output.dropout.p = layer.output.dropout.p = 0.0
    encoder.bert.embeddings.dropout.p = 0.0
    assert not torch.allclose(*(packed_states(encoder.bert, tokens, packed) for _ in range(2)))
