import copy

import pytest
import torch
from torch_geometric.nn import GCNConv, Sequential

from stofm_pyg.nn import GaussianDistance, NodeType, PairRepresentation, SE2TransformerConv
from stofm_pyg.testing import assert_invariant
from tests.random_batch import arguments, random_batch

BATCHES = {
    "one": lambda **kw: random_batch(sizes=(9,), special=(), **kw),
    "equal": lambda **kw: random_batch(sizes=(6, 6), special=(), **kw),
    "ragged": lambda **kw: random_batch(sizes=(9, 6, 2), special=(), **kw),
    "special": lambda **kw: random_batch(sizes=(9, 6, 2), **kw),
}


def make_conv(in_channels=5, out_channels=8, heads=2, num_gaussians=6, **kwargs):
    torch.manual_seed(0)
    return SE2TransformerConv(
        in_channels, out_channels, heads, num_gaussians=num_gaussians, max_distance=3.0, **kwargs
    )


def with_evaluator(conv, evaluator):
    conv = copy.deepcopy(conv)
    conv.evaluator = evaluator
    return conv


def gradients(module, loss):
    return torch.autograd.grad(loss, list(module.parameters()))


def assert_near(actual, expected, tolerance):
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


def test_repr():
    assert repr(SE2TransformerConv(16, 32, heads=4)) == "SE2TransformerConv(16, 32, heads=4)"


def test_is_the_equation():
    data = random_batch(sizes=(7,), dtype=torch.float64)
    conv = make_conv(far=4.0).double()
    out, pair = conv(*arguments(data), return_pair=True)

    num_nodes = data.num_nodes
    bias = conv.distance(torch.tensor([[4.0]], dtype=torch.float64)).repeat(num_nodes**2, 1)
    bias = bias.view(num_nodes, num_nodes, 2).clone()
    row, col = data.edge_index
    bias[col, row] = conv.distance(data.edge_attr)
    cls = int((data.node_type == 1).nonzero())
    bias[range(num_nodes), range(num_nodes)] = bias[cls] = bias[:, cls] = 0
    weight, shift = conv.lin_qkv.weight.chunk(3), conv.lin_qkv.bias.chunk(3)
    heads = []
    for head in range(2):
        rows = slice(4 * head, 4 * head + 4)
        query, key, value = (data.x @ w[rows].t() + b[rows] for w, b in zip(weight, shift, strict=True))
        logits = bias[..., head] + query @ key.t() / 4**0.5
        assert torch.allclose(pair.dense()[0, ..., head], logits, atol=1e-10)
        heads.append(logits.softmax(dim=1) @ value)
    expected = conv.lin_out(torch.cat(heads, dim=1))
    assert torch.allclose(out, expected, atol=1e-10)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)], ids=["32", "64"]
)
def test_evaluators_agree(name, dtype, tolerance):
    data = BATCHES[name](dtype=dtype)
    if name == "one":
        data.batch = None
    outs, pairs, grads = [], [], []
    for evaluator in SE2TransformerConv.evaluators:
        conv = with_evaluator(make_conv(), evaluator).to(dtype)
        out, pair = conv(*arguments(data), return_pair=True)
        scored = pair.pairs(data.edge_index)
        loss = out.square().sum() + scored.square().mean()
        outs.append(out), pairs.append(scored), grads.append(gradients(conv, loss))
    assert outs[0].shape == (data.num_nodes, 8)
    assert_near(outs[0], outs[1], tolerance)
    assert_near(pairs[0], pairs[1], tolerance)
    for actual, expected in zip(*grads, strict=True):
        assert expected.abs().max() > 0
        assert_near(actual, expected, tolerance)


@pytest.mark.parametrize("first", SE2TransformerConv.evaluators)
@pytest.mark.parametrize("second", SE2TransformerConv.evaluators)
def test_two_layers_chained(first, second):
    data = random_batch(dtype=torch.float64)
    layers = [make_conv(), make_conv(in_channels=8, out_channels=4, num_gaussians=None)]
    results = []
    for evaluators in (("edgewise", "edgewise"), (first, second)):
        convs = [with_evaluator(c, e).double() for c, e in zip(layers, evaluators, strict=True)]
        h, pair = convs[0](*arguments(data), return_pair=True)
        out, same = convs[1](h.tanh(), data.edge_index, pair=pair, return_pair=True)
        assert same is pair and pair.num_layers == 2
        results.append((out, pair.pairs(pair.all_pairs())))
    assert torch.allclose(results[1][0], results[0][0], atol=1e-10)
    assert torch.allclose(results[1][1], results[0][1], atol=1e-10)

    # Without the logits of the layer before, the second layer would say something else.
    fresh = convs[0].start_pair(data.edge_index, data.edge_attr, *sizes_and_types(data))
    other = convs[1](h.tanh(), data.edge_index, pair=fresh)
    assert (other - results[0][0]).abs().max() > 1e-4


def sizes_and_types(data):
    return data.num_nodes, data.batch, data.node_type


@pytest.mark.parametrize("name", BATCHES)
def test_without_gradient_as_with(name):
    data = BATCHES[name]()
    first, second = make_conv(), make_conv(in_channels=8, num_gaussians=None)
    results = []
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            h, pair = first(*arguments(data), return_pair=True)
            out, pair = second(h, data.edge_index, pair=pair, return_pair=True)
            results.append((out, pair.pairs(data.edge_index)))
    for actual, expected in zip(results[1], results[0], strict=True):
        assert expected.requires_grad and not actual.requires_grad
        assert torch.allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("evaluator", SE2TransformerConv.evaluators)
def test_gradients(evaluator):
    data = random_batch(sizes=(3, 2), channels=2, special=(), dtype=torch.float64)
    data.node_type[0] = NodeType.CLS
    conv = make_conv(2, 2, heads=2, num_gaussians=2, evaluator=evaluator).double()
    names = [name for name, _ in conv.named_parameters()]
    _, *rest = arguments(data)

    def function(x, *values):
        parameters = dict(zip(names, values, strict=True))
        options = {"return_pair": True}
        out, pair = torch.func.functional_call(conv, parameters, (x, *rest), options)
        return out, pair.pairs(data.edge_index)

    x = data.x.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (x, *conv.parameters()))


@pytest.mark.parametrize("evaluator", SE2TransformerConv.evaluators)
def test_invariant(evaluator):
    data = random_batch(sizes=(12,))
    conv = make_conv(evaluator=evaluator)
    assert_invariant(lambda data: conv(*arguments(data)), data)


@pytest.mark.parametrize("evaluator", SE2TransformerConv.evaluators)
def test_other_subpatches_do_not_matter(evaluator):
    data = random_batch(sizes=(9, 6, 2))
    conv = make_conv(evaluator=evaluator)
    out = conv(*arguments(data))
    for graph in range(3):
        part = data.subgraph(data.batch == graph)
        part.batch = None
        assert torch.allclose(conv(*arguments(part)), out[data.batch == graph], atol=1e-6)


def test_a_gap_in_the_numbers_of_subpatches():
    data = random_batch()
    conv = make_conv()
    expected = conv(*arguments(data))
    data.batch = 2 * data.batch
    out = conv(*arguments(data))
    assert torch.equal(out, expected)
    assert all(grad.isfinite().all() for grad in gradients(conv, out.sum()))


def test_distances_matter_only_on_edges():
    data = random_batch(special=())
    conv = make_conv()
    expected = conv(*arguments(data))
    data.pos += torch.randn_like(data.pos)
    assert torch.equal(conv(*arguments(data)), expected)
    data.edge_attr = 2 * data.edge_attr
    assert (conv(*arguments(data)) - expected).abs().max() > 1e-4


def test_edge_order_and_vector_distances():
    data = random_batch()
    conv = make_conv()
    expected = conv(*arguments(data))
    order = torch.randperm(data.num_edges, generator=torch.Generator().manual_seed(0))
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    out = conv(x, edge_index[:, order], edge_attr[order].view(-1), batch, node_type.byte())
    assert torch.allclose(out, expected, atol=1e-6)


def test_stands_where_any_conv_stands():
    data = random_batch(special=())
    signature = "x, edge_index, edge_attr, batch -> x"
    model = Sequential(
        "x, edge_index, edge_attr, batch",
        [
            (make_conv(), signature),
            torch.nn.ReLU(),
            (make_conv(in_channels=8, out_channels=6, heads=3), signature),
            (GCNConv(6, 2), "x, edge_index -> x"),
        ],
    )
    out = model(data.x, data.edge_index, data.edge_attr, data.batch)
    assert out.shape == (data.num_nodes, 2)
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_single_cell_and_no_edges():
    conv = make_conv()
    edge_index, edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
    x = torch.randn(3, 5)
    value = conv.lin_qkv(x)[:, 16:]
    assert torch.allclose(conv(x[:1], edge_index, edge_attr), conv.lin_out(value[:1]), atol=1e-6)
    alone = conv(x, edge_index, edge_attr, torch.arange(3))
    assert torch.allclose(alone, conv.lin_out(value), atol=1e-6)


def test_dropout_only_in_training():
    data = random_batch()
    conv = make_conv(dropout=0.5)
    plain = make_conv()
    assert torch.equal(conv.eval()(*arguments(data)), plain(*arguments(data)))
    for evaluator in conv.evaluators:
        conv = with_evaluator(conv, evaluator).train()
        assert not torch.allclose(conv(*arguments(data)), plain(*arguments(data)), atol=1e-3)


def test_bias_and_channels():
    conv = SE2TransformerConv(5, 12, heads=3, bias=False)
    assert conv.lin_qkv.bias is None and conv.lin_out.bias is None
    assert conv.lin_qkv.weight.shape == (36, 5) and conv.lin_out.weight.shape == (12, 12)
    assert repr(conv.distance) == repr(GaussianDistance(3, 128, 10.0))


def test_reset_parameters():
    conv = make_conv()
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.fill_(7.0)
    torch.manual_seed(1)
    conv.reset_parameters()
    for name, value in conv.state_dict().items():
        assert value.shape == before[name].shape and not (value == 7).any()


def test_passes_do_not_disturb_each_other():
    data = random_batch()
    conv = make_conv()
    with torch.no_grad():
        first, pair = conv(*arguments(data), return_pair=True)
        kept = pair.pairs(data.edge_index)
        assert torch.equal(conv(*arguments(data)), first)
        assert torch.equal(pair.pairs(data.edge_index), kept)


@pytest.mark.parametrize(("channels", "heads"), [(10, 4), (8, 0), (8, -2)])
def test_heads_that_do_not_fit(channels, heads):
    with pytest.raises(ValueError) as error:
        SE2TransformerConv(5, channels, heads=heads)
    assert str(error.value) == (
        f"'out_channels' must be a multiple of 'heads' (got {channels} and {heads})"
    )


def test_unknown_evaluator():
    with pytest.raises(ValueError, match="Unknown evaluator 'fast'; known: dense, edgewise"):
        SE2TransformerConv(5, 8, evaluator="fast")


def test_no_distances():
    data = random_batch()
    message = rf"one distance for each of the {data.num_edges} edges \(got shape None\)"
    with pytest.raises(ValueError, match=message):
        make_conv()(data.x, data.edge_index)


@pytest.mark.parametrize("shape", [(3, 1), (3,), (0, 1)])
def test_another_number_of_distances(shape):
    data = random_batch()
    with pytest.raises(ValueError) as error:
        make_conv()(data.x, data.edge_index, torch.ones(shape))
    assert str(error.value) == (
        f"'edge_attr' must hold one distance for each of the {data.num_edges} edges (got shape "
        f"{shape}); 'SpatialRadiusGraph' makes both"
    )


def test_edge_features_in_the_place_of_distances():
    data = random_batch()
    with pytest.raises(ValueError, match=rf"got shape \({data.num_edges}, 2\)"):
        make_conv()(data.x, data.edge_index, data.edge_attr.repeat(1, 2))


def test_a_layer_without_distances_needs_the_pair_of_the_one_before():
    conv = make_conv(num_gaussians=None)
    assert conv.distance is None
    with pytest.raises(ValueError, match="'num_gaussians=None'.*pass it the 'pair'"):
        conv(*arguments(random_batch()))


def test_a_pair_of_another_number_of_heads():
    data = random_batch()
    h, pair = make_conv()(*arguments(data), return_pair=True)
    assert isinstance(pair, PairRepresentation)
    with pytest.raises(ValueError, match="2 heads.*4"):
        make_conv(in_channels=8, heads=4, num_gaussians=None)(h, data.edge_index, pair=pair)


def test_a_directed_graph():
    data = random_batch()
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    with pytest.raises(ValueError, match="must be undirected.*ToUndirected"):
        make_conv()(x, edge_index[:, 1:], edge_attr[1:], batch, node_type)


def test_an_edge_across_subpatches():
    data = random_batch(special=())
    edge_index = torch.tensor([[0, data.num_nodes - 1], [data.num_nodes - 1, 0]])
    with pytest.raises(ValueError, match="different subpatches"):
        make_conv()(data.x, edge_index, torch.ones(2, 1), data.batch)


def test_subpatches_out_of_order():
    edge_index, edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
    with pytest.raises(ValueError, match="sorted"):
        make_conv()(torch.randn(5, 5), edge_index, edge_attr, torch.tensor([0, 1, 0, 1, 1]))
