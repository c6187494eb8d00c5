import copy

import pytest
import torch
from torch_geometric.nn import GCNConv, Sequential

import stofm_pyg.nn.gaussian_distance
import stofm_pyg.nn.se2_transformer_conv
from stofm_pyg.nn import GaussianDistance, NodeType, PairRepresentation, SE2TransformerConv
from stofm_pyg.nn.evaluators import DENSE_BYTES, attend
from stofm_pyg.testing import assert_invariant
from tests.nn.attention_case import (
    FAST,
    SPECIAL,
    Memory,
    assert_near,
    attention_by_pairs,
    cut_blocks,
    use_plain_flex_attention,
)
from tests.random_batch import arguments, random_batch

EVALUATORS = SE2TransformerConv.evaluators
BATCHES = {
    "one": lambda **kw: random_batch(sizes=(9,), special=(), **kw),
    "equal": lambda **kw: random_batch(sizes=(6, 6), special=(), **kw),
    "ragged": lambda **kw: random_batch(sizes=(9, 6, 2), special=(), **kw),
    "special": lambda **kw: random_batch(sizes=(9, 6, 2), **kw),
    "padding": lambda **kw: random_batch(sizes=(9, 6, 2), special=SPECIAL, **kw),
}


@pytest.fixture(autouse=True)
def plain_flex_attention(monkeypatch):
    use_plain_flex_attention(monkeypatch)


@pytest.fixture(params=[None, 2], ids=["whole", "many blocks"])
def blocks(request, monkeypatch):
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)


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


def valid_nodes(data):
    return data.node_type != NodeType.PADDING


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
def test_evaluators_agree(blocks, name, dtype, tolerance):
    data = BATCHES[name](dtype=dtype)
    if name == "one":
        data.batch = None
    results = {}
    for evaluator in EVALUATORS:
        conv = with_evaluator(make_conv(), evaluator).to(dtype)
        out, pair = conv(*arguments(data), return_pair=True)
        assert out.shape == (data.num_nodes, 8)
        assert pair.evaluator == ("dense" if evaluator == "auto" else evaluator)
        out, scored = out[valid_nodes(data)], pair.pairs(data.edge_index)
        loss = out.square().sum() + scored.square().mean()
        results[evaluator] = (out.detach(), scored.detach(), *gradients(conv, loss))
    expected = results.pop("edgewise")
    assert all(value.abs().max() > 0 for value in expected)
    for actual in results.values():
        for ours, theirs in zip(actual, expected, strict=True):
            assert_near(ours, theirs, tolerance)


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("second", ["same", "auto"])
def test_layers_chained(blocks, evaluator, second):
    # Each of another width.
    data = BATCHES["padding"](dtype=torch.float64)
    layers = [make_conv(), *(make_conv(8, c, num_gaussians=None) for c in (4, 2))]
    layers[2].lin_qkv = torch.nn.Linear(4, 6)
    valid, results = valid_nodes(data), []
    for evaluators in (("edgewise", "edgewise"), (evaluator, evaluator if second == "same" else second)):
        evaluators = (*evaluators, evaluators[1])
        convs = [with_evaluator(c, e).double() for c, e in zip(layers, evaluators, strict=True)]
        h, pair = convs[0](*arguments(data), return_pair=True)
        first = h
        for number, conv in enumerate(convs[1:]):
            h, same = conv(h.tanh(), data.edge_index, pair=pair, return_pair=True)
            assert same is pair and pair.num_layers == number + 2
        scored = pair.pairs(pair.all_pairs())
        loss = h[valid].sin().sum() + first[valid].cos().sum() + scored.square().mean()
        parameters = [p for conv in convs for p in conv.parameters()]
        grads = torch.autograd.grad(loss, parameters)
        results.append((h[valid].detach(), first[valid].detach(), scored.detach(), *grads))
    for actual, expected in zip(*results, strict=True):
        assert_near(actual, expected, 1e-10)

    # Without the logits of the layer before, the second layer would say something else.
    fresh = convs[0].start_pair(data.edge_index, data.edge_attr, *sizes_and_types(data))
    _, pair = convs[0](*arguments(data), return_pair=True)
    outs = [convs[1](first.tanh(), data.edge_index, pair=p)[valid] for p in (fresh, pair)]
    assert (outs[0] - outs[1]).abs().max() > 1e-4


def sizes_and_types(data):
    return data.num_nodes, data.batch, data.node_type


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("evaluator", ["auto", "blocked"])
def test_without_gradient_as_with(blocks, name, evaluator):
    data = BATCHES[name]()
    first = make_conv(evaluator=evaluator)
    second = make_conv(in_channels=8, num_gaussians=None, evaluator=evaluator)
    results = []
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            h, pair = first(*arguments(data), return_pair=True)
            out, pair = second(h, data.edge_index, pair=pair, return_pair=True)
            results.append((out, pair.pairs(data.edge_index)))
    for actual, expected in zip(results[1], results[0], strict=True):
        assert expected.requires_grad and not actual.requires_grad
        assert torch.allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("evaluator", ["edgewise", *FAST])
@pytest.mark.parametrize(("rows", "dropout"), [(None, 0.0), (2, 0.0), (2, 0.4)])
def test_gradients(monkeypatch, evaluator, rows, dropout):
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    data = random_batch(sizes=(2, 2), channels=1, special=(), dtype=torch.float64)
    data.node_type[0] = NodeType.CLS
    conv = make_conv(1, 2, heads=2, num_gaussians=2, evaluator=evaluator, dropout=dropout).double()
    names = [name for name, _ in conv.named_parameters()]
    _, *rest = arguments(data)

    def function(x, *values):
        torch.manual_seed(1)  # The same cells are dropped each time.
        parameters = dict(zip(names, values, strict=True))
        options = {"return_pair": True}
        out, pair = torch.func.functional_call(conv, parameters, (x, *rest), options)
        return out, pair.pairs(data.edge_index)

    x = data.x.clone().requires_grad_()
    inputs = (x, *conv.parameters())
    # One by one, and otherwise all at a time in a random direction.
    is_slow = rows is not None and dropout == 0
    assert torch.autograd.gradcheck(function, inputs, fast_mode=not is_slow)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_gradient_of_distances(blocks, evaluator):
    data = random_batch(special=(2,), dtype=torch.float64)
    data.edge_attr.requires_grad_()
    conv = make_conv(evaluator=evaluator).double()

    def loss_at(distance):
        return conv(data.x, data.edge_index, distance, data.batch, data.node_type).sin().sum()

    (grad,) = torch.autograd.grad(loss_at(data.edge_attr), data.edge_attr)
    # That of both directions is at the one towards the later node.
    up = data.edge_index[0] < data.edge_index[1]
    assert (grad[~up] == 0).all() and (grad[up] != 0).sum() > up.sum() / 2
    with torch.no_grad():
        forth, back = (loss_at((1 + step) * data.edge_attr) for step in (1e-6, -1e-6))
        expected = (forth - back) / 2e-6
    assert float((grad * data.edge_attr.detach()).sum()) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_invariant(evaluator):
    data = random_batch(sizes=(12,))
    conv = make_conv(evaluator=evaluator)
    assert_invariant(lambda data: conv(*arguments(data)), data)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_other_subpatches_do_not_matter(evaluator):
    data = random_batch(sizes=(9, 6, 2))
    conv = make_conv(evaluator=evaluator)
    out = conv(*arguments(data))
    for graph in range(3):
        part = data.subgraph(data.batch == graph)
        part.batch = None
        assert torch.allclose(conv(*arguments(part)), out[data.batch == graph], atol=1e-6)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_gap_in_the_numbers_of_subpatches(evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator)
    expected = conv(*arguments(data))
    data.batch = 2 * data.batch + 1
    out = conv(*arguments(data))
    assert torch.equal(out, expected)
    assert all(grad.isfinite().all() for grad in gradients(conv, out.sum()))


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_padding_does_not_matter(blocks, evaluator):
    data = random_batch(sizes=(9, 6, 2), special=SPECIAL, dtype=torch.float64)
    conv = make_conv(evaluator=evaluator).double()
    valid = valid_nodes(data)
    results = []
    for part in (data, data.subgraph(valid)):
        out = conv(*arguments(part))[valid_nodes(part)]
        results.append((out.detach(), *gradients(conv, out.sin().sum())))
    for actual, expected in zip(*results, strict=True):
        assert_near(actual, expected, 1e-10)

    out = conv(*arguments(data))
    data.x[~valid] = 1e3
    assert torch.equal(conv(*arguments(data))[valid], out[valid])


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_subpatch_of_padding_alone(evaluator):
    data = random_batch(sizes=(6, 4), special=(1, 2), dtype=torch.float64)
    conv = make_conv(evaluator=evaluator).double()
    one = data.batch == 1
    data.node_type[~one] = NodeType.PADDING
    part = data.subgraph(one)
    results = []
    for batch, mine in ((data, one), (part, slice(None))):
        out = conv(*arguments(batch))[mine]
        results.append((out.detach(), *gradients(conv, out.sin().sum())))
    for actual, expected in zip(*results, strict=True):
        assert_near(actual, expected, 1e-10)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_distances_matter_only_on_edges(evaluator):
    data = random_batch(special=())
    conv = make_conv(evaluator=evaluator)
    expected = conv(*arguments(data))
    data.pos += torch.randn_like(data.pos)
    assert torch.equal(conv(*arguments(data)), expected)
    data.edge_attr = 2 * data.edge_attr
    assert (conv(*arguments(data)) - expected).abs().max() > 1e-4


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_edge_order_and_vector_distances(blocks, evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator)
    expected = conv(*arguments(data))
    order = torch.randperm(data.num_edges, generator=torch.Generator().manual_seed(0))
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    out = conv(x, edge_index[:, order], edge_attr[order].view(-1), batch, node_type.byte())
    assert torch.allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize("loops", [[4], [0, 3, 4, 9]])
def test_self_loops_have_no_effect(blocks, evaluator, loops):
    data = random_batch(dtype=torch.float64)
    conv = make_conv(evaluator=evaluator).double()
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    loops = torch.tensor([loops, loops])
    ones = edge_attr.new_ones(loops.size(1), 1)
    with_loops = torch.cat([loops, edge_index], dim=1), torch.cat([ones, edge_attr])
    results = []
    for edges in ((edge_index, edge_attr), with_loops):
        out = conv(x, *edges, batch, node_type)
        results.append((out.detach(), *gradients(conv, out.sin().sum())))
    for actual, expected in zip(*results, strict=True):
        assert_near(actual, expected, 1e-11)


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


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_single_cell_and_no_edges(blocks, evaluator):
    conv = make_conv(evaluator=evaluator)
    edge_index, edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
    x = torch.randn(3, 5)
    value = conv.lin_qkv(x)[:, 16:]
    assert torch.allclose(conv(x[:1], edge_index, edge_attr), conv.lin_out(value[:1]), atol=1e-6)
    alone = conv(x, edge_index, edge_attr, torch.arange(3))
    assert torch.allclose(alone, conv.lin_out(value), atol=1e-6)
    out, pair = conv(x[:0], edge_index, edge_attr, return_pair=True)
    assert out.shape == (0, 8) and pair.pairs(edge_index).shape == (0, 2)


def test_dropout_only_in_training():
    data = random_batch()
    conv = make_conv(dropout=0.5)
    plain = make_conv()
    assert torch.equal(conv.eval()(*arguments(data)), plain(*arguments(data)))
    for evaluator in EVALUATORS:
        conv = with_evaluator(conv, evaluator).train()
        assert not torch.allclose(conv(*arguments(data)), plain(*arguments(data)), atol=1e-3)


def test_dropout_is_the_same_in_all_evaluators(blocks):
    data, results = random_batch(dtype=torch.float64), []
    for evaluator in FAST:
        conv = make_conv(dropout=0.4, evaluator=evaluator).double()
        torch.manual_seed(5)
        out = conv(*arguments(data))
        results.append((out.detach(), *gradients(conv, out.sin().sum())))
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            assert_near(actual, expected, 1e-10)


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


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_passes_do_not_disturb_each_other(blocks, evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator)
    with torch.no_grad():
        first, pair = conv(*arguments(data), return_pair=True)
        kept = pair.pairs(data.edge_index)
        assert torch.equal(conv(*arguments(data)), first)
        assert torch.equal(pair.pairs(data.edge_index), kept)

    # Two forward passes, then two backward passes.
    other = random_batch(sizes=(4, 8), seed=1)
    losses = [conv(*arguments(x)).sin().sum() for x in (data, other)]
    grads = [gradients(conv, loss) for loss in losses]
    for x, ours in zip((data, other), grads, strict=True):
        alone = gradients(conv, conv(*arguments(x)).sin().sum())
        for actual, expected in zip(ours, alone, strict=True):
            assert torch.equal(actual, expected)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_backward_twice(blocks, evaluator):
    data = random_batch(dtype=torch.float64)
    first = make_conv(evaluator=evaluator).double()
    second = make_conv(8, num_gaussians=None, evaluator=evaluator).double()
    h, pair = first(*arguments(data), return_pair=True)
    loss = second(h, data.edge_index, pair=pair).sin().sum() + h.cos().sum()
    parameters = [*first.parameters(), *second.parameters()]
    once = torch.autograd.grad(loss, parameters, retain_graph=True)
    for actual, expected in zip(torch.autograd.grad(loss, parameters), once, strict=True):
        assert_near(actual, expected, 1e-12)


def test_auto_chooses_by_size(monkeypatch):
    data = random_batch()
    for limit, expected in ((2**20, "dense"), (0, "blocked")):
        monkeypatch.setitem(DENSE_BYTES, "cpu", limit)
        assert make_conv()(*arguments(data), return_pair=True)[1].evaluator == expected


def ring(num_nodes, dtype=torch.float32):
    """Cells on a ring, each tied to the nearest three on both sides."""
    node = torch.arange(num_nodes).repeat(3)
    mate = (node + torch.arange(1, 4).repeat_interleave(num_nodes)) % num_nodes
    edge_index = torch.stack([torch.cat([node, mate]), torch.cat([mate, node])])
    distance = torch.arange(1.0, 4.0).repeat_interleave(num_nodes).repeat(2)
    return torch.ones(num_nodes, 4), edge_index, distance.view(-1, 1)


def memory_of(evaluator, num_nodes, training):
    conv = make_conv(4, 4, heads=4, num_gaussians=4, evaluator=evaluator)
    with torch.set_grad_enabled(training), Memory() as memory:
        out = conv(*ring(num_nodes))
        if training:
            gradients(conv, out.sum())
    return memory


@pytest.fixture
def few_rows(monkeypatch):
    cut_blocks(monkeypatch, 8)
    monkeypatch.setattr(stofm_pyg.nn.gaussian_distance, "CHUNK", {"cpu": 100})


@pytest.mark.parametrize("training", [False, True])
def test_blocks_hold_no_matrix(few_rows, training):
    small, large = (memory_of("blocked", num_nodes, training) for num_nodes in (100, 200))
    matrix = 4 * 200**2  # Of one head, or of booleans of all four.
    assert large.largest < matrix / 3 and large.largest <= 2.1 * small.largest
    assert large.peak < 2.1 * small.peak and large.peak < 4 * matrix


def test_dense_holds_one_matrix_of_logits(few_rows):
    logits, block = 4 * 4 * 200**2, 4 * 4 * 200 * 8
    without, training = (memory_of("dense", 200, training) for training in (False, True))
    rest = memory_of("blocked", 200, False).peak
    assert without.largest <= max(block, memory_of("blocked", 200, False).largest)
    assert logits < without.peak < logits + block + rest
    assert training.largest == logits
    rest = memory_of("blocked", 200, True).peak
    assert 2 * logits < training.peak < 2 * logits + block + rest


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_autocast(blocks, evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator)
    expected, other = conv(*arguments(data), return_pair=True)
    loss = expected.sin().sum() + other.pairs(data.edge_index).square().mean()
    expected_grads = gradients(conv, loss)
    with torch.autocast("cpu", torch.bfloat16):
        out, pair = conv(*arguments(data), return_pair=True)
        scored = pair.pairs(data.edge_index)
        loss = out.float().sin().sum() + scored.square().mean()
    assert out.dtype == torch.bfloat16
    assert all(x.dtype == torch.float32 for x in (scored, pair.far, pair.edge_bias, *pair.queries))
    assert_near(out.float().detach(), expected.detach(), 2e-2)
    assert_near(scored.detach(), other.pairs(data.edge_index).detach(), 1e-2)
    for actual, exact in zip(gradients(conv, loss), expected_grads, strict=True):
        assert actual.dtype == torch.float32
        assert_near(actual, exact, 4e-2)


@pytest.mark.parametrize("evaluator", FAST)
def test_attention_keeps_its_precision_under_autocast(monkeypatch, blocks, evaluator):
    calls = []

    def note(pair, query, key, value, dropout):
        calls.append((value, attend(pair, query, key, value, dropout)))
        return calls[-1][1]

    monkeypatch.setattr(stofm_pyg.nn.se2_transformer_conv, "attend", note)
    data = random_batch()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, pair = make_conv(evaluator=evaluator)(*arguments(data), return_pair=True)
    ((value, out),) = calls
    assert value.dtype == out.dtype == torch.float32
    # Three digits would be left of a product of brain floats.
    assert_near(out, attention_by_pairs(pair, value), 1e-6)


@pytest.mark.parametrize("evaluator", FAST)
def test_backward_under_autocast(blocks, evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator)
    with torch.autocast("cpu", torch.bfloat16):
        loss = conv(*arguments(data)).float().sin().sum()
        inside = torch.autograd.grad(loss, conv.parameters(), retain_graph=True)
    for actual, expected in zip(inside, gradients(conv, loss), strict=True):
        assert_near(actual, expected, 1e-2)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_brain_floats(evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator)
    expected = conv(*arguments(data)).detach()
    data.x, data.edge_attr = data.x.bfloat16(), data.edge_attr.bfloat16()
    out, pair = conv.bfloat16()(*arguments(data), return_pair=True)
    assert out.dtype == torch.bfloat16 and pair.pairs(data.edge_index).dtype == torch.float32
    assert_near(out.float().detach(), expected, 5e-2)
    gradients(conv, out.float().sum())


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_half_precision_on_a_cpu(evaluator):
    data = random_batch()
    conv = make_conv(evaluator=evaluator).half()
    with pytest.raises(ValueError, match="torch.float16 on a CPU.*use torch.float32"):
        conv(data.x.half(), data.edge_index, data.edge_attr.half(), data.batch, data.node_type)
    with (
        torch.autocast("cpu", torch.float16),
        pytest.raises(ValueError, match="torch.float16 on a CPU"),
    ):
        make_conv(evaluator=evaluator)(*arguments(data))


@pytest.mark.parametrize(("channels", "heads"), [(10, 4), (8, 0), (8, -2)])
def test_heads_that_do_not_fit(channels, heads):
    with pytest.raises(ValueError) as error:
        SE2TransformerConv(5, channels, heads=heads)
    assert str(error.value) == (
        f"'out_channels' must be a multiple of 'heads' (got {channels} and {heads})"
    )


@pytest.mark.parametrize("evaluator", ["fast", "Dense", "", None])
def test_unknown_evaluator(evaluator):
    with pytest.raises(ValueError) as error:
        SE2TransformerConv(5, 8, evaluator=evaluator)
    assert str(error.value) == (
        f"Unknown evaluator '{evaluator}'; known: auto, dense, blocked, fused, edgewise"
    )


@pytest.mark.parametrize("first", EVALUATORS)
@pytest.mark.parametrize("second", EVALUATORS)
def test_another_evaluator_than_the_layer_before(first, second):
    data = random_batch()
    h, pair = make_conv(evaluator=first)(*arguments(data), return_pair=True)
    chosen = "dense" if first == "auto" else first
    layer = make_conv(8, num_gaussians=None, evaluator=second)
    if second in ("auto", chosen):
        assert layer(h, data.edge_index, pair=pair).shape == (data.num_nodes, 8)
        return
    with pytest.raises(ValueError) as error:
        layer(h, data.edge_index, pair=pair)
    assert str(error.value) == (
        f"This layer's evaluator is '{second}', but the 'pair' of the layer before has '{chosen}'; give "
        f"both the same"
    )
    assert pair.num_layers == 1


def test_too_many_channels_for_the_fused_evaluator():
    data = random_batch()
    conv = make_conv(out_channels=2 * 257, evaluator="fused")
    with pytest.raises(ValueError, match=r"up to 256 channels.*\(got 257.*evaluator='blocked'"):
        conv(*arguments(data))


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
    last = data.num_nodes - 1
    edge_index = torch.tensor([[0, 1, 0, last], [1, 0, last, 0]])
    with pytest.raises(ValueError) as error:
        make_conv()(data.x, edge_index, torch.ones(4, 1), data.batch)
    assert str(error.value) == (
        f"The edge [0, {last}] joins nodes of two different subpatches (2 edges do); remove such edges "
        f"first"
    )


@pytest.mark.parametrize("node", [-1, 15, 100])
def test_a_node_that_does_not_exist(node):
    data = random_batch(special=())
    edge_index = torch.tensor([[0, 1, 0, node], [1, 0, node, 0]])
    with pytest.raises(ValueError, match=r"names nodes from -?\d+ to \d+, but there are 15;"):
        make_conv()(data.x, edge_index, torch.ones(4, 1), data.batch)
    with pytest.raises(ValueError, match="but there are 15;"):
        make_conv()(data.x, edge_index, torch.ones(4, 1))


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf"), -float("inf")])
def test_a_distance_that_is_none(distance):
    data = random_batch()
    edge = int(((data.edge_index[0] == 0) & (data.edge_index[1] == 1)).nonzero())
    back = int(((data.edge_index[0] == 1) & (data.edge_index[1] == 0)).nonzero())
    data.edge_attr[[edge, back]] = distance
    message = rf"finite and not negative \(got {distance} along the edge \[0, 1\]; 2 of {data.num_edges}"
    with pytest.raises(ValueError, match=message):
        make_conv()(*arguments(data))


def test_subpatches_out_of_order():
    edge_index, edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
    with pytest.raises(ValueError, match="'batch' must be sorted"):
        make_conv()(torch.randn(5, 5), edge_index, edge_attr, torch.tensor([0, 1, 0, 1, 1]))


@pytest.mark.parametrize("name", ["batch", "node_type"])
@pytest.mark.parametrize("shape", [(20,), (22,), (21, 1), (21, 2), (0,), ()])
def test_a_mask_of_another_shape(name, shape):
    data = random_batch()
    data[name] = torch.zeros(shape, dtype=torch.long)
    with pytest.raises(ValueError) as error:
        make_conv()(*arguments(data))
    assert str(error.value) == (
        f"'{name}' must hold one value for each of the 21 nodes (got shape {shape})"
    )
