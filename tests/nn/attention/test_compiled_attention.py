import pytest
import torch

from stofm_pyg.nn import PairRepresentation
from stofm_pyg.nn.attention.blocked_attention import BlockedAttention
from stofm_pyg.nn.attention.compiled_attention import compiled_attention
from tests.nn.attention_case import (
    assert_near,
    attention_by_pairs,
    cut_blocks,
    random_layers,
    random_pair,
)

OPERATOR = torch.ops.stofm_pyg.blocked_attention
BACKWARD = torch.ops.stofm_pyg.blocked_attention_backward


@pytest.fixture(params=[None, 3], ids=["whole", "three rows"])
def blocks(request, monkeypatch):
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)


def case(*channels, requires_grad=True, **kwargs):
    """A pair representation with layers, and the values of the last one."""
    pair = random_pair(special=(1, 2), **kwargs)
    layers = random_layers(pair, *channels)
    for query, key, _ in layers:
        pair.append(query, key)
    value = layers[-1][2]
    if requires_grad:
        for x in (pair.edge_bias, pair.far, value, *pair.queries, *pair.keys):
            x.requires_grad_()
    return pair, value


def arguments(pair, value, dropout=0.0, seed=0):
    return (
        pair.edge_index, pair.edge_bias, pair.far, pair.batch, pair.node_type, value,
        pair.queries, pair.keys, dropout, torch.tensor([seed]),
    )  # fmt: skip


def inputs(pair, value):
    return [pair.edge_bias, pair.far, value, *pair.queries, *pair.keys]


def test_is_attention(blocks):
    pair, value = case(3, 2)
    out = compiled_attention(pair, value, 0.0, torch.tensor([0]))
    expected = attention_by_pairs(pair, value)
    assert_near(out.detach(), expected.detach(), 1e-12)
    grads = [torch.autograd.grad(x.sin().sum(), inputs(pair, value)) for x in (out, expected)]
    for ours, theirs in zip(*grads, strict=True):
        assert_near(ours, theirs, 1e-11)


def test_is_blocked_attention_with_dropout(blocks):
    pair, value = case(3, 2, evaluator="blocked")
    query, key = pair.queries[0], pair.keys[0]
    pair.logits.append(query, key)
    expected = BlockedAttention.apply(
        pair.edge_bias.t(), pair.far, value, pair.logits, False, 0.4, 9, *pair.queries, *pair.keys
    )
    out = compiled_attention(pair, value, 0.4, torch.tensor([9]))
    assert torch.equal(out, expected)
    grads = [torch.autograd.grad(x.sin().sum(), inputs(pair, value)) for x in (out, expected)]
    for ours, theirs in zip(*grads, strict=True):
        assert_near(ours, theirs, 1e-12)


def test_finite_differences(blocks):
    pair, value = case(1, 2)
    nodes = pair.num_nodes, pair.batch, pair.node_type

    def function(bias, far, value, *layers):
        other = PairRepresentation(pair.edge_index, bias, far, *nodes)
        other.queries, other.keys = list(layers[:2]), list(layers[2:])
        return compiled_attention(other, value, 0.3, torch.tensor([5]))

    assert torch.autograd.gradcheck(function, inputs(pair, value), fast_mode=True)


def test_is_an_operator():
    pair, value = case(3, 2, sizes=(4, 2), dtype=torch.float32)
    torch.library.opcheck(OPERATOR.default, arguments(pair, value, 0.5, 3))
    grad = torch.ones_like(value)
    pair, value = case(3, 2, sizes=(4, 2), dtype=torch.float32, requires_grad=False)
    torch.library.opcheck(BACKWARD.default, (*arguments(pair, value, 0.5, 3), grad))


def test_without_types_and_edges():
    pair, value = case(3)
    pair = PairRepresentation(pair.edge_index[:, :0], pair.edge_bias[:0], pair.far, pair.num_nodes)
    pair.append(value, value)
    torch.library.opcheck(OPERATOR.default, arguments(pair, value))
    out = compiled_attention(pair, value, 0.0, torch.tensor([0]))
    assert_near(out.detach(), attention_by_pairs(pair, value).detach(), 1e-12)
