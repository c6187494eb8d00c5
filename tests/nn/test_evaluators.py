import math

import pytest
import torch

from stofm_pyg.nn import PairRepresentation
from stofm_pyg.nn.dense_attention import dense_attention

VALUES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]]).unsqueeze(1)


def three_nodes():
    """One head; log 2 on the edge 0 - 1, log 3 without an edge (0, 2 and 1, 2)."""
    edge_index, bias = torch.tensor([[0], [1]]), torch.tensor([[math.log(2)]])
    return PairRepresentation(edge_index, bias, torch.tensor([math.log(3)]), 3)


def test_three_nodes_by_the_bias_alone():
    pair = three_nodes()
    out = dense_attention(pair, torch.zeros(3, 1, 4), torch.ones(3, 1, 4), VALUES)
    # Rows of exp(logits): (1, 2, 3), (2, 1, 3), (3, 3, 1).
    expected = torch.tensor([[7 / 6, 11 / 6], [8 / 6, 10 / 6], [5 / 7, 6 / 7]])
    assert torch.allclose(out.squeeze(1), expected, atol=1e-6)


def test_three_nodes_by_hand():
    pair = three_nodes()
    # The product of a query (a, 0, 0, 0) and a key (b, 0, 0, 0) is a * b / sqrt(4).
    query, key = torch.zeros(3, 1, 4), torch.zeros(3, 1, 4)
    query[:, 0, 0] = torch.tensor([2.0, 0.0, 4.0])
    key[:, 0, 0] = torch.tensor([math.log(2), 0.0, math.log(5)])
    out = dense_attention(pair, query, key, VALUES)
    # exp(logits): (1 * 2, 2 * 1, 3 * 5), (2, 1, 3), (3 * 4, 3 * 1, 1 * 25).
    weights = torch.tensor([[2, 2, 15], [2, 1, 3], [12, 3, 25]])
    weights = weights / weights.sum(dim=1, keepdim=True)
    assert torch.allclose(out.squeeze(1), weights @ VALUES.squeeze(1), atol=1e-6)

    # The next layer goes on from these logits: with the same query and key, products count twice.
    pair.append(query, key)
    out = dense_attention(pair, query, key, VALUES)
    weights = torch.tensor([[4, 2, 75], [2, 1, 3], [48, 3, 625]])
    weights = weights / weights.sum(dim=1, keepdim=True)
    assert torch.allclose(out.squeeze(1), weights @ VALUES.squeeze(1), atol=1e-6)


def ragged(dtype=torch.float32):
    edge_index = torch.tensor([[0, 1, 4], [1, 2, 5]])
    bias, far = torch.randn(3, 2, dtype=dtype), torch.randn(2, dtype=dtype)
    return PairRepresentation(edge_index, bias, far, 6, torch.tensor([0, 0, 0, 0, 1, 1]))


def test_padding_is_not_attended_to():
    torch.manual_seed(0)
    pair = ragged()
    query, key, value = torch.randn(3, 6, 2, 3)
    out = dense_attention(pair, query, key, value)
    value[:4] = 1e6  # The other subpatch, and in its place the padding of this one.
    pair.logits = None
    assert torch.equal(dense_attention(pair, query, key, value)[4:], out[4:])


@pytest.mark.parametrize("make", [three_nodes, ragged])
def test_in_place_without_gradient_as_with(make):
    torch.manual_seed(0)
    with_grad = make()
    torch.manual_seed(0)
    without = make()
    num_nodes, heads = with_grad.num_nodes, with_grad.heads
    storage = None
    for _ in range(3):
        query, key, value = torch.randn(3, num_nodes, heads, 4)
        expected = dense_attention(with_grad, query.clone().requires_grad_(), key, value)
        with torch.no_grad():
            actual = dense_attention(without, query.clone().requires_grad_(), key, value)
        assert expected.requires_grad and not actual.requires_grad
        assert torch.allclose(actual, expected, atol=1e-6)
        assert torch.allclose(without.logits, with_grad.logits, atol=1e-6)
        storage = storage or without.logits.data_ptr()
        assert without.logits.data_ptr() == storage
        with_grad.append(query, key)
        without.append(query, key)


def test_the_running_logits_are_the_pair_representation():
    torch.manual_seed(0)
    pair = ragged()
    for _ in range(2):
        query, key, value = torch.randn(3, 6, 2, 3)
        dense_attention(pair, query, key, value)
        pair.append(query, key)
    valid = pair.logits[0] > -1e30
    valid[1, 2:] = False
    logits = pair.logits.permute(1, 2, 3, 0)
    assert torch.allclose(logits[valid], pair.dense()[valid], atol=1e-6)
    assert int(valid.sum()) == 4 * 4 + 2 * 2


def test_catches_up_with_layers_of_another_evaluator():
    torch.manual_seed(0)
    pair = ragged()
    query, key, value = torch.randn(3, 6, 2, 3)
    pair.append(query, key)
    expected = pair.dense()[0] + (torch.einsum("ihd,jhd->ijh", query, key) / 3**0.5)[:4, :4]
    out = dense_attention(pair, query, key, value)[:4]
    expected = torch.einsum("ijh,jhd->ihd", expected.softmax(dim=1), value[:4])
    assert torch.allclose(out, expected, atol=1e-6)


def test_dropout():
    pair = three_nodes()
    query = torch.zeros(3, 1, 4)
    out = dense_attention(pair, query, query, VALUES, dropout=1.0)
    assert (out == 0).all()
    torch.manual_seed(0)
    total = torch.zeros(3, 2)
    for _ in range(400):
        total += dense_attention(three_nodes(), query, query, VALUES, dropout=0.5).squeeze(1)
    expected = dense_attention(three_nodes(), query, query, VALUES).squeeze(1)
    assert torch.allclose(total / 400, expected, atol=0.25)


def test_gradients():
    torch.manual_seed(0)
    tensors = [torch.randn(6, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    far = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def function(bias, far, query, key, value):
        edge_index = torch.tensor([[0, 1, 4], [1, 2, 5]])
        batch = torch.tensor([0, 0, 0, 0, 1, 1])
        pair = PairRepresentation(edge_index, bias, far, 6, batch)
        return dense_attention(pair, query, key, value)

    assert torch.autograd.gradcheck(function, (bias, far, *tensors))
