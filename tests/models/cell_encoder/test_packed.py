import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.models.cell_encoder.packed import (
    first_states,
    jagged_attention,
    pack_cells,
    packed_attention,
    packed_states,
)
from tests.cell_encoders import make_cells, make_encoder, transformers_states

LENGTHS = (5, 1, 9, 5, 2, 1)


def by_hand(query, key, value, ptr):
    """The definition, cell by cell."""
    out = []
    for start, stop in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        q, k, v = (x[start:stop].transpose(0, 1) for x in (query, key, value))
        alpha = (q @ k.transpose(1, 2) / q.size(-1) ** 0.5).softmax(dim=-1)
        out.append((alpha @ v).transpose(0, 1).flatten(1))
    return torch.cat(out)


def make(lengths=LENGTHS):
    torch.manual_seed(0)
    cells = pack_cells(torch.tensor([0, *lengths]).cumsum(0))
    qkv = torch.randn(3, sum(lengths), 2, 8, requires_grad=True)
    return cells, qkv


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_token_is_packed_once_in_the_order_of_its_cell(lengths, random):
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    chosen = random.sample(range(len(lengths)), random.randint(1, len(lengths)))
    packed = pack_cells(ptr, torch.tensor(chosen))
    assert sorted(packed.cells.tolist()) == sorted(chosen)
    found = packed.ptr.diff().tolist()
    assert found == sorted(found) == [lengths[cell] for cell in packed.cells.tolist()]
    assert [length for count, length in packed.groups for _ in range(count)] == found
    start = 0
    for cell, length in zip(packed.cells.tolist(), found, strict=True):
        rows = slice(start, start + length)
        assert packed.index[rows].tolist() == list(range(int(ptr[cell]), int(ptr[cell + 1])))
        assert packed.positions[rows].tolist() == list(range(length))
        start += length
    assert packed.index.numel() == start


def test_all_cells_by_default_and_ties_in_order():
    packed = pack_cells(torch.tensor([0, 2, 3, 5]))
    assert packed.cells.tolist() == [1, 0, 2]
    assert packed.index.tolist() == [2, 0, 1, 3, 4]
    assert packed.positions.tolist() == [0, 0, 1, 0, 1]
    assert packed.ptr.tolist() == [0, 1, 3, 5] and packed.groups == [(1, 1), (2, 2)]
    assert packed.to(torch.device("cpu")).groups == packed.groups


@pytest.mark.parametrize("attention", [packed_attention, jagged_attention])
@pytest.mark.parametrize("lengths", [LENGTHS, (1,), (4, 4, 4)])
def test_attention_and_its_gradient_are_those_of_each_cell_alone(attention, lengths):
    cells, qkv = make(lengths)
    expected = by_hand(*qkv, cells.ptr)
    out = attention(*qkv, cells)
    assert out.shape == (sum(lengths), 16)
    assert torch.allclose(out, expected, atol=1e-6)
    weight = torch.randn_like(out)
    grads = [torch.autograd.grad((x * weight).sum(), qkv)[0] for x in (out, expected)]
    assert torch.allclose(*grads, atol=1e-6)


@pytest.mark.parametrize("attention", [packed_attention, jagged_attention])
def test_dropout_drops_weights_and_scales_the_others(attention):
    cells, qkv = make((6,) * 200)
    qkv = torch.zeros_like(qkv.detach())
    qkv[2] = 1.0
    torch.manual_seed(1)
    out = attention(*qkv, cells, dropout=0.5)
    kept = (out * 3).round()  # Six weights of 1/6, doubled: the number of those left, thirds.
    assert torch.allclose(out * 3, kept, atol=1e-5)
    assert set(kept.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0}
    assert abs(out.mean() - 1) < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_unlike_lengths_on_a_gpu():
    cells, qkv = make()
    out = packed_attention(*qkv.detach().cuda(), cells.to(torch.device("cuda")))
    assert torch.allclose(out.cpu(), by_hand(*qkv, cells.ptr), atol=1e-5)


def test_states_and_all_gradients_are_those_of_transformers():
    encoder, cells = make_encoder(), make_cells()
    padded, mask = transformers_states(encoder, cells)
    packed = pack_cells(cells.ptr)
    states = packed_states(encoder.bert, cells.tokens[packed.index], packed)
    states = torch.empty_like(states).index_copy(0, packed.index, states)
    assert_same_with_gradients(encoder, states, padded[mask])


@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize("act", ["relu", "gelu", "gelu_new"])
def test_states_of_first_tokens_and_all_gradients_are_those_of_transformers(num_layers, act):
    encoder, cells = make_encoder(num_layers=num_layers, act=act), make_cells()
    padded, _ = transformers_states(encoder, cells)
    packed = pack_cells(cells.ptr)
    states = first_states(encoder.bert, cells.tokens[packed.index], packed)
    assert_same_with_gradients(encoder, states, padded[packed.cells, 0])
    weights = [weight.clone() for weight in encoder.parameters()]
    with torch.no_grad():  # Which computes in place.
        alone = first_states(encoder.bert, cells.tokens[packed.index], packed)
        all_states = packed_states(encoder.bert, cells.tokens[packed.index], packed)
    assert torch.allclose(alone, states, atol=1e-5)
    assert torch.allclose(all_states[packed.ptr[:-1]], states, atol=1e-5)
    assert all(map(torch.equal, weights, encoder.parameters()))


def assert_same_with_gradients(encoder, states, expected):
    assert torch.allclose(states, expected, atol=1e-5)
    weight = torch.randn_like(expected)
    named = dict(encoder.bert.named_parameters())
    ours, theirs = (
        torch.autograd.grad((x * weight).sum(), list(named.values()), retain_graph=True)
        for x in (states, expected)
    )
    for name, a, b in zip(named, ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * float(1 + b.abs().max())), name


@pytest.mark.parametrize("states", [packed_states, first_states])
def test_dropout_in_training_alone(states):
    encoder, cells = make_encoder(dropout=0.4, num_layers=1), make_cells((6, 6, 3))
    packed = pack_cells(cells.ptr)
    tokens = cells.tokens[packed.index]
    assert torch.equal(*(states(encoder.bert, tokens, packed) for _ in range(2)))
    encoder.train()
    assert not torch.allclose(*(states(encoder.bert, tokens, packed) for _ in range(2)))
    for layer in encoder.bert.encoder.layer:  # Attention weights are dropped too.
        layer.attention.output.dropout.p = layer.output.dropout.p = 0.0
    encoder.bert.embeddings.dropout.p = 0.0
    assert not torch.allclose(*(states(encoder.bert, tokens, packed) for _ in range(2)))


def test_attention_weights_of_first_tokens_are_dropped_as_those_of_all_are():
    encoder = make_encoder(dropout=0.5, num_layers=1, hidden_channels=8, heads=1).train()
    encoder.bert.embeddings.dropout.p = 0.0
    for layer in encoder.bert.encoder.layer:
        layer.attention.output.dropout.p = layer.output.dropout.p = 0.0
    packed = pack_cells(2 * torch.arange(2001))
    tokens = torch.tensor([19, 5]).repeat(2000)
    with torch.no_grad():
        found = first_states(encoder.bert, tokens, packed)
        expected = packed_states(encoder.bert, tokens, packed)[packed.ptr[:-1]]
    # Each of two weights is there or not, which makes four states.
    (a, m), (b, n) = (x.round(decimals=4).unique(dim=0, return_counts=True) for x in (found, expected))
    assert len(a) == len(b) == 4 and torch.allclose(a, b, atol=1e-3)
    assert (m - n).abs().max() < 200
