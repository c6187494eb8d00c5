import pytest
import torch

from stofm_pyg.nn import PairRepresentation
from stofm_pyg.nn.attention.dense_attention import DenseAttention, DenseBias
from tests.nn.attention_case import (
    Memory,
    assert_near,
    attention_by_pairs,
    cut_blocks,
    random_layers,
    random_pair,
)


@pytest.fixture(params=[None, 1, 3], ids=["whole", "single rows", "three rows"])
def blocks(request, monkeypatch):
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)


def dense(pair, layers, dropout=0.0, seed=0):
    """What each layer returns."""
    outs, before = [], DenseBias.apply(pair.edge_bias.t(), pair.far, pair.logits)
    for query, key, value in layers:
        out, before = DenseAttention.apply(before, query, key, value, pair.logits, dropout, seed)
        outs.append(out)
    return outs


def by_pairs(pair, layers):
    outs = []
    for query, key, value in layers:
        pair.append(query, key)
        outs.append(attention_by_pairs(pair, value))
    return outs


def leaves(pair, layers):
    out = [pair.edge_bias, pair.far, *(x for layer in layers for x in layer)]
    return [x.requires_grad_() for x in out]


def case(*channels):
    pair = random_pair(special=(1, 2, 2), evaluator="dense")
    return pair, [tuple(layer) for layer in random_layers(pair, *channels)]


def test_layers_advance_the_logits(blocks):
    pair, layers = case(3, 1, 4)
    actual = dense(pair, layers)
    for ours, theirs in zip(actual, by_pairs(pair, layers), strict=True):
        assert_near(ours, theirs, 1e-12)


# A loss may read each layer, as through residual connections, or the last or the first one alone.
@pytest.mark.parametrize("read", [(0, 1, 2), (2,), (0,), (0, 2)])
def test_gradients(blocks, read):
    pair, layers = case(3, 1, 4)
    inputs = leaves(pair, layers)
    actual, expected = dense(pair, layers), by_pairs(pair, layers)
    weights = [torch.sin(torch.arange(out.numel())).view_as(out) for out in expected]
    grads = [
        torch.autograd.grad(
            sum((outs[n] * weights[n]).sum() for n in read), inputs, materialize_grads=True
        )
        for outs in (actual, expected)
    ]
    for ours, theirs in zip(*grads, strict=True):
        if theirs.abs().max() == 0:  # Of a layer behind the last one that is read.
            assert ours.abs().max() == 0
        else:
            assert_near(ours, theirs, 1e-11)
    assert sum(bool(x.abs().max() > 0) for x in grads[1]) == 2 + 3 * (max(read) + 1) - (
        len(range(max(read) + 1)) - len(read)
    )


def test_finite_differences(blocks):
    data, _ = case()
    edges, options = data.edge_index, (data.num_nodes, data.batch, data.node_type, "dense")

    def function(bias, far, *layers):
        pair = PairRepresentation(edges, bias, far, *options)
        return tuple(dense(pair, zip(*[iter(layers)] * 3, strict=True), dropout=0.3, seed=5))

    pair, layers = case(1, 2)
    assert torch.autograd.gradcheck(function, leaves(pair, layers), fast_mode=True)


def test_backward_twice_and_in_pieces(blocks):
    pair, layers = case(3, 2)
    inputs = leaves(pair, layers)
    loss = sum(out.sin().sum() for out in dense(pair, layers))
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    second = torch.autograd.grad(loss, inputs)
    for ours, theirs in zip(second, first, strict=True):
        assert_near(ours, theirs, 1e-12)


def test_some_inputs_without_a_gradient():
    pair, layers = case(3, 2)
    value = layers[0][2].requires_grad_()
    loss = sum(out.sin().sum() for out in dense(pair, layers))
    (actual,) = torch.autograd.grad(loss, value)
    (expected,) = torch.autograd.grad(sum(out.sin().sum() for out in by_pairs(pair, layers)), value)
    assert_near(actual, expected, 1e-12)


def test_two_passes_side_by_side(blocks):
    pairs, grads = [case(3, 2) for _ in range(2)], []
    pairs[1][0].far = 2 * pairs[1][0].far
    inputs = [leaves(*one) for one in pairs]
    losses = [dense(*one)[1].sin().sum() for one in pairs]
    for loss, ours in zip(losses, inputs, strict=True):
        grads.append(torch.autograd.grad(loss, ours, materialize_grads=True))
    for (pair, layers), ours in zip(pairs, grads, strict=True):
        loss = by_pairs(pair, layers)[1].sin().sum()
        alone = torch.autograd.grad(loss, leaves(pair, layers), materialize_grads=True)
        for actual, expected in zip(ours, alone, strict=True):
            assert_near(actual, expected, 1e-11)


def test_of_the_logits_autograd_holds_one_number():
    pair, layers = case(3)
    before = DenseBias.apply(pair.edge_bias.t(), pair.far.requires_grad_(), pair.logits)
    assert before.shape == (sum(pair.logits.sizes),) == (2 * (10**2 + 7**2 + 5**2),)
    assert before.requires_grad and before.untyped_storage().nbytes() == 8
    out, after = DenseAttention.apply(before, *layers[0], pair.logits, 0.0, 0)
    assert after.shape == before.shape and after.untyped_storage().nbytes() == 8


def test_one_matrix_of_logits_and_one_of_their_gradient(monkeypatch):
    cut_blocks(monkeypatch, 8)
    pair = random_pair(sizes=(120,), special=(), evaluator="dense", dtype=torch.float32)
    pair.edge_index, pair.edge_bias = pair.edge_index[:, :120], pair.edge_bias[:120]
    layers = [tuple(layer) for layer in random_layers(pair, 2, 2, 2, 2)]
    matrix, block = 4 * 2 * 120**2, 4 * 2 * 120 * 8
    pair.logits  # noqa: B018
    inputs = leaves(pair, layers)
    with Memory() as memory:
        loss = sum(out.sin().sum() for out in dense(pair, layers))
    assert memory.largest == block and matrix < memory.peak < 1.25 * matrix
    with Memory() as memory:
        torch.autograd.grad(loss, inputs)
    assert memory.largest == matrix and matrix < memory.peak < 1.4 * matrix
