import pytest
import torch

from stofm_pyg.nn.attention.evaluators import EVALUATORS
from tests.gpu.gpu_case import BATCHES, assert_all_near, outputs, reference
from tests.nn.attention_case import FLEX_WARNING, cut_blocks, use_plain_flex_attention
from tests.nn.encoder_case import make_encoder, with_evaluator
from tests.random_batch import random_batch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings(FLEX_WARNING),
    pytest.mark.usefixtures("exact"),
]


@pytest.fixture(autouse=True)
def plain_on_a_cpu(device, monkeypatch):
    # FlexAttention itself is what a GPU is to show; on a CPU it would compile anew for every shape.
    if device.type == "cpu":
        use_plain_flex_attention(monkeypatch)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_equal_to_double_precision_on_the_cpu(device, name, evaluator):
    encoder = with_evaluator(make_encoder(), evaluator).to(device)
    data = random_batch(**BATCHES[name]).to(device)
    assert_all_near(outputs(encoder, data), reference(name), 2e-5)


@pytest.mark.parametrize("name", ["ragged", "padding"])
@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_in_many_blocks(device, monkeypatch, name, evaluator):
    cut_blocks(monkeypatch, 16)
    encoder = with_evaluator(make_encoder(), evaluator).to(device)
    data = random_batch(**BATCHES[name]).to(device)
    assert_all_near(outputs(encoder, data), reference(name), 2e-5)


@pytest.mark.parametrize("evaluator", ["dense", "blocked", "fused"])
def test_dropout_of_the_backward_pass_is_that_of_the_forward_pass(device, evaluator):
    data = random_batch(**BATCHES["ragged"], dtype=torch.float64).to(device)
    encoder = with_evaluator(make_encoder(attention_dropout=0.4), evaluator).double().to(device)
    weight = encoder.blocks[0].conv.lin_qkv.weight
    direction = torch.sin(torch.arange(weight.numel())).view_as(weight).to(weight)

    def loss(step):
        torch.manual_seed(0)
        with torch.no_grad():
            weight.add_(step * direction)
        out = encoder(data.x, data.edge_index, data.edge_attr, data.batch, data.node_type).x.sin().sum()
        with torch.no_grad():
            weight.sub_(step * direction)
        return out.detach()

    torch.manual_seed(0)
    out = encoder(data.x, data.edge_index, data.edge_attr, data.batch, data.node_type).x.sin().sum()
    (grad,) = torch.autograd.grad(out, weight)
    expected = float(loss(1e-6) - loss(-1e-6)) / 2e-6
    assert float((grad * direction).sum()) == pytest.approx(expected, rel=1e-5)
