import pytest
import torch

from stofm_pyg.nn import PairRepresentation
from stofm_pyg.nn.attention.blocked_attention import BlockedAttention, blocked_attention_backward
from tests.nn.attention_case import (
    Memory,
    assert_near,
    attention_by_pairs,
    cut_blocks,
    random_layers,
    random_pair,
    use_plain_flex_attention,
)


@pytest.fixture(params=[None, 1, 3], ids=["whole", "single rows", "three rows"])
def blocks(request, monkeypatch):
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)


def blocked(pair, layers, fused=False, dropout=0.0, seed=0):
    """What each layer returns."""
    outs = []
    for query, key, value in layers:
        pair.append(query, key)
        outs.append(
            BlockedAttention.apply(
                pair.edge_bias.t(), pair.far, value, pair.logits, fused, dropout, seed,
                *pair.queries, *pair.keys,
            )
        )  # fmt: skip
    return outs


def by_pairs(pair, layers):
    pair.queries.clear(), pair.keys.clear()
    outs = []
    for query, key, value in layers:
        pair.append(query, key)
        outs.append(attention_by_pairs(pair, value))
    return outs


def leaves(pair, layers):
    return [x.requires_grad_() for x in (pair.edge_bias, pair.far, *(x for y in layers for x in y))]


def case(*channels, **kwargs):
    pair = random_pair(special=(1, 2, 2), evaluator="blocked", **kwargs)
    return pair, [tuple(layer) for layer in random_layers(pair, *channels)]


@pytest.mark.parametrize("fused", [False, True])
def test_forwards_and_backwards(monkeypatch, blocks, fused):
    use_plain_flex_attention(monkeypatch)
    pair, layers = case(3, 1, 4)
    inputs = leaves(pair, layers)
    actual, expected = blocked(pair, layers, fused), by_pairs(pair, layers)
    for ours, theirs in zip(actual, expected, strict=True):
        assert_near(ours.detach(), theirs.detach(), 1e-12)
    grads = [torch.autograd.grad(sum(out.sin().sum() for out in x), inputs) for x in (actual, expected)]
    for ours, theirs in zip(*grads, strict=True):
        assert_near(ours, theirs, 1e-11)


def test_finite_differences(blocks):
    data, _ = case()
    edges, options = data.edge_index, (data.num_nodes, data.batch, data.node_type, "blocked")

    def function(bias, far, *layers):
        pair = PairRepresentation(edges, bias, far, *options)
        return tuple(blocked(pair, zip(*[iter(layers)] * 3, strict=True), dropout=0.3, seed=5))

    pair, layers = case(1, 2)
    assert torch.autograd.gradcheck(function, leaves(pair, layers), fast_mode=True)


def test_backward_twice(blocks):
    pair, layers = case(3, 2)
    inputs = leaves(pair, layers)
    loss = sum(out.sin().sum() for out in blocked(pair, layers))
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), first, strict=True):
        assert torch.equal(ours, theirs)


def test_an_earlier_layer_alone(blocks):
    pair, layers = case(3, 2)
    inputs = leaves(pair, layers)
    (actual, _), (expected, _) = blocked(pair, layers), by_pairs(pair, layers)
    grads = [torch.autograd.grad(x.sin().sum(), inputs, allow_unused=True) for x in (actual, expected)]
    assert [grad is None for grad in grads[0]] == [False] * 5 + [True] * 3
    for ours, theirs in zip(grads[0][:5], grads[1][:5], strict=True):
        assert_near(ours, theirs, 1e-11)


def test_the_gradients_by_name():
    pair, layers = case(3, 2)
    out = blocked(pair, layers)[1]
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
    bias, far, value, queries, keys = blocked_attention_backward(pair.logits, 2, layers[1][2], grad)
    inputs = leaves(pair, layers)
    expected = torch.autograd.grad(by_pairs(pair, layers)[1], inputs, grad, materialize_grads=True)
    assert_near(bias.t(), expected[0])
    assert_near(far, expected[1])
    assert_near(value, expected[7])
    for ours, theirs in zip((*queries, *keys), (*expected[2::3][:2], *expected[3::3]), strict=True):
        assert_near(ours, theirs)
    assert expected[4].abs().max() == 0  # The values of the first layer have none.


def test_the_gradient_of_far_pairs_in_single_precision():
    grads = []
    for dtype in (torch.float32, torch.float64):
        pair, layers = case(3, 2, sizes=(60, 30), dtype=dtype)
        pair.far.requires_grad_()
        loss = sum(out.sin().sum() for out in blocked(pair, layers))
        grads.append(torch.autograd.grad(loss, pair.far)[0].double())
    assert_near(*grads, 1e-5)


def test_holds_a_few_blocks(monkeypatch):
    cut_blocks(monkeypatch, 4)
    peaks = []
    for cells in (40, 80):
        pair, layers = case(2, 2, 2, sizes=(cells,), dtype=torch.float32)
        pair.edge_index, pair.edge_bias = pair.edge_index[:, :cells], pair.edge_bias[:cells]
        pair.logits  # noqa: B018
        inputs = leaves(pair, layers)
        nodes, block = 4 * 2 * pair.num_nodes, 4 * 2 * pair.num_nodes * 4
        with Memory() as memory:
            loss = sum(out.sin().sum() for out in blocked(pair, layers))
            torch.autograd.grad(loss, inputs)
        # The queries, and the keys, of all layers are the largest tensors.
        assert memory.largest == max(block, 6 * nodes)
        peaks.append(memory.peak)
    assert peaks[1] < 2.1 * peaks[0] and peaks[1] < 4 * 2 * 80**2
