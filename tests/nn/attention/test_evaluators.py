import math
from types import SimpleNamespace

import pytest
import torch

import stofm_pyg.nn.attention.evaluators
from stofm_pyg.nn import PairRepresentation
from stofm_pyg.nn.attention.evaluators import DENSE_BYTES, EVALUATORS, attend, choose_evaluator
from tests.nn.attention_case import (
    FAST,
    assert_near,
    attention_by_pairs,
    cut_blocks,
    logits_by_pairs,
    random_layers,
    random_pair,
    use_plain_flex_attention,
    valid_nodes,
)

VALUES = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]]])


@pytest.fixture(autouse=True)
def plain_flex_attention(monkeypatch):
    use_plain_flex_attention(monkeypatch)


@pytest.fixture(params=[None, 1, 3], ids=["whole", "single rows", "three rows"])
def blocks(request, monkeypatch):
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)


def three_nodes(evaluator):
    """One head; log 2 on the edge 0 - 1, log 3 without an edge (0, 2 and 1, 2)."""
    edge_index, bias = torch.tensor([[0], [1]]), torch.tensor([[math.log(2)]])
    return PairRepresentation(edge_index, bias, torch.tensor([math.log(3)]), 3, evaluator=evaluator)


def test_names():
    assert EVALUATORS == ("auto", "dense", "blocked", "fused", "edgewise")


@pytest.mark.parametrize("evaluator", FAST)
def test_three_nodes_by_the_bias_alone(blocks, evaluator):
    out = attend(three_nodes(evaluator), torch.zeros(1, 3, 4), torch.ones(1, 3, 4), VALUES)
    # Rows of exp(logits): (1, 2, 3), (2, 1, 3), (3, 3, 1).
    expected = torch.tensor([[7 / 6, 11 / 6], [8 / 6, 10 / 6], [5 / 7, 6 / 7]])
    assert torch.allclose(out[0], expected, atol=1e-6)


@pytest.mark.parametrize("evaluator", FAST)
def test_three_nodes_by_hand(blocks, evaluator):
    pair = three_nodes(evaluator)
    query, key = torch.zeros(1, 3, 4), torch.zeros(1, 3, 4)
    query[0, :, 0] = torch.tensor([1.0, 0.0, 2.0])
    key[0, :, 0] = torch.tensor([math.log(2), 0.0, math.log(5)])
    out = attend(pair, query, key, VALUES)
    # exp(logits): (1 * 2, 2 * 1, 3 * 5), (2, 1, 3), (3 * 4, 3 * 1, 1 * 25).
    weights = torch.tensor([[2, 2, 15], [2, 1, 3], [12, 3, 25]])
    weights = weights / weights.sum(dim=1, keepdim=True)
    assert torch.allclose(out[0], weights @ VALUES[0], atol=1e-6)
    assert pair.num_layers == 1 and pair.queries[0] is query and pair.keys[0] is key

    # The next layer goes on from these logits: with the same query and key, products count twice.
    out = attend(pair, query, key, VALUES)
    weights = torch.tensor([[4, 2, 75], [2, 1, 3], [48, 3, 625]])
    weights = weights / weights.sum(dim=1, keepdim=True)
    assert torch.allclose(out[0], weights @ VALUES[0], atol=1e-6)


@pytest.mark.parametrize("evaluator", FAST)
def test_neither_other_subpatches_nor_padding_are_attended_to(blocks, evaluator):
    first, second = random_pair(evaluator=evaluator), random_pair(evaluator=evaluator)
    ((query, key, value),) = random_layers(first, 3)
    mine = valid_nodes(first) & (first.batch == 1)
    out = attend(first, query, key, value)
    other = value.clone()
    other[:, ~mine] = 1e6
    query, key = query.clone(), key.clone()
    query[:, ~mine], key[:, ~mine] = -3.0, 5.0
    assert torch.equal(attend(second, query, key, other)[:, mine], out[:, mine])


@pytest.mark.parametrize("evaluator", FAST)
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_layers_of_unlike_width(blocks, evaluator, heads, num_layers):
    pair = random_pair(heads=heads, evaluator=evaluator)
    valid = valid_nodes(pair)
    for query, key, value in random_layers(pair, *(4, 1, 3)[:num_layers]):
        out = attend(pair, query, key, value)
        assert_near(out[:, valid], attention_by_pairs(pair, value)[:, valid], 1e-11)
    assert pair.num_layers == num_layers


@pytest.mark.parametrize("evaluator", FAST)
def test_without_gradient_as_with(blocks, evaluator):
    with_grad, without = random_pair(evaluator=evaluator), random_pair(evaluator=evaluator)
    for query, key, value in random_layers(with_grad, 4, 4, 2):
        expected = attend(with_grad, query.clone().requires_grad_(), key, value)
        with torch.no_grad():
            actual = attend(without, query.clone().requires_grad_(), key, value)
        assert expected.requires_grad and not actual.requires_grad
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("evaluator", FAST)
def test_gradients(blocks, evaluator):
    grads = []
    for by_pairs in (False, True):
        pair = random_pair(evaluator=evaluator)
        layers = random_layers(pair, 3, 2)
        inputs = [x.requires_grad_() for x in (pair.edge_bias, pair.far, *layers)]
        loss, valid = 0, valid_nodes(pair)
        for query, key, value in layers:
            if by_pairs:
                pair.append(query, key)
                out = attention_by_pairs(pair, value)
            else:
                out = attend(pair, query, key, value)
            loss = loss + out[:, valid].sin().sum()
        # The pair representation is read as well, with the queries and keys of all layers.
        loss = loss + pair.pairs(pair.all_pairs()).cos().sum()
        grads.append(torch.autograd.grad(loss, inputs))
    for actual, expected in zip(*grads, strict=True):
        assert_near(actual, expected, 1e-11)


@pytest.mark.parametrize("evaluator", FAST)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_finite_differences(evaluator, dropout):
    data = random_pair((2, 1), (1,))
    options = data.num_nodes, data.batch, data.node_type, evaluator

    def function(bias, far, *layers):
        pair = PairRepresentation(data.edge_index, bias, far, *options)
        torch.manual_seed(0)  # A layer draws the seed of its dropout here.
        return tuple(attend(pair, *layer, dropout) for layer in layers)

    layers = random_layers(data, 1, 2)
    inputs = [x.requires_grad_() for x in (data.edge_bias, data.far, *layers)]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("evaluator", FAST)
def test_dropout_has_the_mean_of_none(evaluator):
    query = torch.zeros(1, 3, 4)
    torch.manual_seed(0)
    total = torch.zeros(1, 3, 2)
    for _ in range(400):
        total += attend(three_nodes(evaluator), query, query, VALUES, dropout=0.5)
    expected = attend(three_nodes(evaluator), query, query, VALUES)
    assert torch.allclose(total / 400, expected, atol=0.25)
    assert (attend(three_nodes(evaluator), query, query, VALUES, dropout=1.0) == 0).all()


def test_dropout_is_the_same_in_all_evaluators(blocks):
    results = []
    for evaluator in FAST:
        pair = random_pair(special=(1, 2), evaluator=evaluator)
        layers = random_layers(pair, 3, 2)
        torch.manual_seed(3)
        inputs = [x.requires_grad_() for x in (pair.edge_bias, pair.far, *layers)]
        outs = [attend(pair, *layer, dropout=0.4) for layer in layers]
        grads = torch.autograd.grad(sum(out.sin().sum() for out in outs), inputs)
        results.append((*outs, *grads))
        assert (outs[1] - attention_by_pairs(pair, layers[1][2])).abs().max() > 0.1
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            assert_near(actual.detach(), expected.detach(), 1e-11)


def test_dropout_differs_from_layer_to_layer_and_from_pass_to_pass():
    torch.manual_seed(0)
    pair = random_pair(special=(), evaluator="dense")
    pair.far.zero_(), pair.edge_bias.zero_()
    zeros = torch.zeros(2, pair.num_nodes, 3, dtype=torch.float64)
    ones = torch.ones_like(zeros)
    outs = [attend(pair, zeros, zeros, ones, dropout=0.5) for _ in range(2)]
    assert not torch.equal(*outs)


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_no_dropout_draws_nothing(evaluator):
    pair = random_pair(evaluator=evaluator)
    state = torch.get_rng_state()
    attend(pair, *random_layers(pair, 3)[0])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_auto_chooses_for_all_layers(monkeypatch, requires_grad):
    sizes = 10**2 + 7**2 + 5**2
    bytes_of_logits = 8 * 2 * sizes * (2 if requires_grad else 1)
    for limit, expected in ((bytes_of_logits, "dense"), (bytes_of_logits - 1, "blocked")):
        monkeypatch.setitem(DENSE_BYTES, "cpu", limit)
        pair = random_pair(special=(1, 2, 2))
        pair.far.requires_grad_(requires_grad)
        for query, key, value in random_layers(pair, 3, 2):
            out = attend(pair, query, key, value)
            assert pair.evaluator == expected
            assert_near(out.detach(), attention_by_pairs(pair, value).detach(), 1e-11)
        assert (pair.dense_logits is not None) == (expected == "dense")


def test_auto_without_gradients_counts_the_logits_alone(monkeypatch):
    monkeypatch.setitem(DENSE_BYTES, "cpu", 8 * 2 * (10**2 + 7**2 + 5**2))
    pair = random_pair(special=(1, 2, 2))
    pair.far.requires_grad_()
    with torch.no_grad():
        attend(pair, *random_layers(pair, 3)[0])
    assert pair.evaluator == "dense"


MIB = 2**20


@pytest.mark.parametrize(
    ("device", "cells", "requires_grad", "dropout", "expected"),
    [
        ("cpu", [1000], True, 0.0, "dense"),
        ("cpu", [2896], False, 0.1, "dense"),
        ("cpu", [2897], False, 0.0, "blocked"),
        ("cpu", [2896], True, 0.0, "blocked"),
        ("cpu", [2000, 2000], False, 0.0, "dense"),
        ("cpu", [2000, 2000, 2000], False, 0.0, "blocked"),
        ("cuda", [16_384], False, 0.0, "dense"),
        ("cuda", [16_385], False, 0.0, "fused"),
        ("cuda", [16_385], False, 0.1, "blocked"),
        ("cuda", [16_385], True, 0.0, "blocked"),
        ("cuda", [11_585], True, 0.1, "dense"),
        ("mps", [2896], False, 0.0, "dense"),
        ("mps", [2897], False, 0.0, "blocked"),
    ],
)
def test_the_choice(monkeypatch, device, cells, requires_grad, dropout, expected):
    sizes = {"cpu": 256 * MIB, "cuda": 8192 * MIB}
    monkeypatch.setattr(stofm_pyg.nn.attention.evaluators, "DENSE_BYTES", sizes)
    far = SimpleNamespace(element_size=lambda: 4, device=SimpleNamespace(type=device))
    pair = SimpleNamespace(sizes=cells, heads=8, far=far)
    assert choose_evaluator(pair, requires_grad, dropout) == expected


def test_too_many_channels_for_the_fused_evaluator():
    pair = random_pair(evaluator="fused")
    first, second = random_layers(pair, 250, 10)
    attend(pair, *first)
    with pytest.raises(ValueError, match="up to 256 channels.*got 260.*evaluator='blocked'"):
        attend(pair, *second)


def test_auto_goes_on_in_blocks_after_as_many_channels_as_the_fused_evaluator_takes(monkeypatch):
    monkeypatch.setattr(stofm_pyg.nn.attention.evaluators, "choose_evaluator", lambda *args: "fused")
    pair = random_pair(special=(1, 2))
    for query, key, value in random_layers(pair, 250, 10):
        out = attend(pair, query, key, value)
        assert_near(out, attention_by_pairs(pair, value), 1e-10)
    assert pair.evaluator == "fused"


def test_padding_alone_in_a_subpatch_spoils_nothing():
    for evaluator in FAST:
        pair = random_pair((4, 3), (1, 2), evaluator=evaluator)
        pair.node_type[pair.batch == 0] = 3
        layer = random_layers(pair, 3)[0].requires_grad_()
        inputs = pair.edge_bias.requires_grad_(), pair.far.requires_grad_(), layer
        out = attend(pair, *layer)
        grads = torch.autograd.grad(out[:, valid_nodes(pair)].sin().sum(), inputs)
        assert logits_by_pairs(pair)[:, :6].isneginf().all()
        assert all(grad.isfinite().all() and grad.abs().max() > 0 for grad in grads)


@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_gradients_of_a_row_of_logits_sum_to_zero(evaluator):
    # A constant added to all keys changes no attention, so its gradient is rounding, even where a later
    # layer's logits are so large that those of the first are not what they were when it is undone.
    torch.manual_seed(0)
    pair = PairRepresentation(
        torch.empty(2, 0, dtype=torch.long), torch.empty(0, 2), torch.zeros(2), 60, evaluator=evaluator
    )
    query, key, value = torch.randn(3, 2, 60, 8)
    key.requires_grad_()
    out = attend(pair, 0.3 * query, key, value)
    attend(pair, *30 * torch.randn(2, 2, 60, 8), value)
    out.sin().sum().backward()
    assert key.grad.sum(dim=1).abs().max() < 1e-6 * key.grad.abs().sum(dim=1).max()
