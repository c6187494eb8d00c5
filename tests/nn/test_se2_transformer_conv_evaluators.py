import pytest
import torch

from stofm_pyg.nn import NodeType
from stofm_pyg.nn.attention.evaluators import DENSE_BYTES
from tests.nn.attention_case import FAST, SPECIAL, assert_near, cut_blocks
from tests.nn.conv_case import EVALUATORS, gradients, make_conv, valid_nodes, with_evaluator
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.usefixtures("plain_flex_attention")

BATCHES = {
    "one": lambda **kw: random_batch(sizes=(9,), special=(), **kw),
    "equal": lambda **kw: random_batch(sizes=(6, 6), special=(), **kw),
    "ragged": lambda **kw: random_batch(sizes=(9, 6, 2), special=(), **kw),
    "special": lambda **kw: random_batch(sizes=(9, 6, 2), **kw),
    "padding": lambda **kw: random_batch(sizes=(9, 6, 2), special=SPECIAL, **kw),
}


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
