import pytest
import torch

from stofm_pyg.nn import (
    NodeType,
    PairRepresentation,
    SE2TransformerConv,
    SliceEncoder,
    attention_weights,
)
from tests.nn.attention_case import random_layers, random_pair
from tests.random_batch import random_batch


def dense_softmax(pair, layer):
    """The weights of all nodes of all subpatches, from the whole matrix of the first layers."""
    first = PairRepresentation(
        pair.edge_index, pair.edge_bias, pair.far, pair.num_nodes, pair.batch, pair.node_type
    )
    for query, key in zip(pair.queries[: layer + 1], pair.keys[: layer + 1], strict=True):
        first.append(query, key)
    out, start = [], 0
    for number, size in enumerate(pair.sizes):
        logits = first.dense()[number, :size, :size].clone()
        padding = (pair.node_type == NodeType.PADDING)[start : start + size]
        logits[:, padding] = -torch.inf
        out.append(logits.softmax(dim=1))
        start += size
    return out


def test_weights_are_the_softmax_of_the_dense_logits():
    pair = random_pair(sizes=(7, 4), special=(3, 1, 2, 3), evaluator="edgewise")
    for query, key, _ in random_layers(pair, 3, 5, 2):
        pair.append(query, key)
    for layer in range(3):
        start = 0
        for size, expected in zip(pair.sizes, dense_softmax(pair, layer), strict=True):
            nodes = torch.arange(start, start + size)
            nodes = nodes[pair.node_type[nodes] != NodeType.PADDING].flip(0)
            weights = attention_weights(pair, nodes, layer)
            torch.testing.assert_close(weights, expected[nodes - start])
            torch.testing.assert_close(weights.sum(1), torch.ones_like(weights.sum(1)))
            torch.testing.assert_close(attention_weights(pair, nodes, layer - 3), weights)
            start += size


@pytest.mark.parametrize("evaluator", ["dense", "blocked", "edgewise"])
def test_weights_are_those_that_the_layers_attend_by(evaluator):
    data = random_batch(sizes=(6, 5), special=(1, 2, 2), seed=1)
    torch.manual_seed(0)
    first = SE2TransformerConv(8, 12, heads=3, num_gaussians=4, evaluator=evaluator)
    second = SE2TransformerConv(12, 12, heads=3, num_gaussians=None, evaluator=evaluator)
    x = torch.randn(data.num_nodes, 8)
    inputs = (data.edge_index, data.edge_attr, data.batch, data.node_type)
    out, pair = first(x, *inputs, return_pair=True)
    out2, pair = second(out, *inputs, pair, return_pair=True)
    for layer, (conv, given, attended) in enumerate([(first, x, out), (second, out, out2)]):
        value = conv.lin_qkv(given).view(-1, 3, 3, 4)[:, 2]
        for node in range(data.num_nodes):
            (weights,) = attention_weights(pair, torch.tensor([node]), layer)
            mates = value[data.batch == data.batch[node]]
            expected = conv.lin_out(torch.einsum("nh,nhd->hd", weights, mates).flatten())
            torch.testing.assert_close(attended[node], expected, atol=1e-5, rtol=1e-5)


def test_no_gradient_and_nothing_changed():
    encoder = SliceEncoder(4, 8, num_layers=2, heads=2, num_gaussians=4)
    data = random_batch(sizes=(5,), special=(1,), seed=2)
    x = torch.randn(data.num_nodes, 4)
    pair = encoder(x, data.edge_index, data.edge_attr, data.batch, data.node_type).pair
    before = pair.dense()
    weights = attention_weights(pair, torch.tensor([1, 3]), 0)
    assert weights.shape == (2, data.num_nodes, 2) and not weights.requires_grad
    assert pair.num_layers == 2
    torch.testing.assert_close(pair.dense(), before)


def test_bad_layers_and_nodes():
    pair = random_pair(sizes=(3, 3), special=())
    with pytest.raises(IndexError, match="no layer 0; the pair representation has 0 layers"):
        attention_weights(pair, torch.tensor([0]), 0)
    for query, key, _ in random_layers(pair, 3):
        pair.append(query, key)
    with pytest.raises(IndexError, match="no layer -2; .* has 1 layers"):
        attention_weights(pair, torch.tensor([0]), -2)
    with pytest.raises(ValueError, match="nodes of one subpatch"):
        attention_weights(pair, torch.tensor([0, 5]))
