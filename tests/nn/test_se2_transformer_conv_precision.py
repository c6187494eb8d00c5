import pytest
import torch

import stofm_pyg.nn.gaussian_distance
import stofm_pyg.nn.se2_transformer_conv
from stofm_pyg.nn.attention.evaluators import attend
from tests.nn.attention_case import FAST, Memory, assert_near, attention_by_pairs, cut_blocks
from tests.nn.conv_case import EVALUATORS, gradients, make_conv
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.usefixtures("plain_flex_attention")


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
