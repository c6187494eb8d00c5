import pytest
import torch

from tests.nn.attention_case import SPECIAL, assert_near
from tests.nn.encoder_case import gradients, make_encoder, valid_nodes
from tests.random_batch import arguments, random_batch


@pytest.fixture
def compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(encoder):
    return torch.compile(encoder, backend="aot_eager", fullgraph=True)


def test_compiled(compiler):
    encoder, data = make_encoder(), random_batch(sizes=(9, 6, 2), special=SPECIAL)
    valid, results = valid_nodes(data), []
    for function in (compiled(encoder), encoder):
        output = function(*arguments(data))
        x, scored = output.x[valid], output.pair.pairs(data.edge_index)
        loss = x.sin().sum() + scored.square().mean()
        hidden = [h[valid].detach() for h in output.hidden_states]
        results.append((*hidden, scored.detach(), *gradients(encoder, loss)))
    for actual, expected in zip(*results, strict=True):
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1)


def test_compiled_for_batches_of_any_size(compiler):
    encoder = make_encoder(num_layers=1)
    function = compiled(encoder)
    with torch.no_grad():
        for sizes in ((9, 6), (5, 8, 4), (3,)):
            data = random_batch(sizes=sizes)
            actual, expected = function(*arguments(data)), encoder(*arguments(data))
            assert_near(actual.x, expected.x, 1e-5)
            scored = [output.pair.pairs(data.edge_index) for output in (actual, expected)]
            assert_near(*scored, 1e-5)


def test_compiled_under_autocast(compiler):
    encoder, data = make_encoder(num_layers=1), random_batch()
    results = []
    for function in (compiled(encoder), encoder):
        with torch.autocast("cpu", torch.bfloat16):
            output = function(*arguments(data))
            scored = output.pair.pairs(data.edge_index)
            loss = output.x.sin().sum() + scored.square().mean()
        results.append((output.x.detach(), scored.detach(), *gradients(encoder, loss)))
    for actual, expected in zip(*results, strict=True):
        assert actual.dtype == torch.float32
        assert (actual - expected).abs().max() <= 0.02 * expected.abs().max().clamp(min=1)


def test_compiled_with_dropout(compiler):
    data = random_batch(dtype=torch.float64)
    encoder = make_encoder(num_layers=1, attention_dropout=0.5).double()
    function = compiled(encoder)
    torch.manual_seed(0)
    outs = [function(*arguments(data)).x for _ in range(3)]
    assert not torch.allclose(outs[0], outs[1])
    plain = make_encoder(num_layers=1).double()(*arguments(data)).x
    assert (outs[0] - plain).abs().max() > 0.01 and (outs[1] - outs[2]).abs().max() > 0.01

    # The backward pass drops what the forward pass dropped.
    parameter = encoder.blocks[0].conv.lin_qkv.weight
    direction = torch.sin(torch.arange(parameter.numel())).view_as(parameter).double()
    losses = []
    for step in (0.0, 1e-6, -1e-6):
        torch.manual_seed(0)
        with torch.no_grad():
            parameter += step * direction
        losses.append(function(*arguments(data)).x.sin().sum())
        with torch.no_grad():
            parameter -= step * direction
    torch.manual_seed(0)
    (grad,) = torch.autograd.grad(function(*arguments(data)).x.sin().sum(), parameter)
    expected = (losses[1] - losses[2]) / 2e-6
    assert float((grad * direction).sum()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_no_graph_breaks(compiler):
    explained = torch._dynamo.explain(make_encoder(num_layers=2))(*arguments(random_batch()))
    assert explained.graph_break_count == 0 and explained.graph_count == 1


def test_compiled_errors(compiler):
    data = random_batch()
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    with torch.no_grad(), pytest.raises(ValueError, match="must be undirected"):
        compiled(make_encoder(num_layers=1))(x, edge_index[:, 1:], edge_attr[1:], batch, node_type)
