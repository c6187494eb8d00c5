import pytest
import torch
from torch_geometric.nn import GCNConv, Sequential

from stofm_pyg.nn import GaussianDistance, SE2TransformerConv
from stofm_pyg.testing import assert_invariant
from tests.nn.attention_case import assert_near
from tests.nn.conv_case import EVALUATORS, gradients, make_conv, with_evaluator
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.usefixtures("plain_flex_attention")


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
