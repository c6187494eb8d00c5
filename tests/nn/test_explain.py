import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from tests.nn.attention_case import assert_near
from tests.nn.conv_case import EVALUATORS, make_conv, valid_nodes, with_evaluator
from tests.nn.encoder_case import make_encoder
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.usefixtures("plain_flex_attention")


@pytest.fixture
def data():
    return random_batch(sizes=(9, 6, 2), dtype=torch.float64)


def masked(conv, data, mask, apply_sigmoid=False):
    set_masks(conv, mask, data.edge_index, apply_sigmoid)
    try:
        return conv(*arguments(data), return_pair=True)
    finally:
        clear_masks(conv)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_a_mask_of_ones_changes_nothing(data, evaluator):
    conv = with_evaluator(make_conv(), evaluator).double()
    expected = conv(*arguments(data))
    out, pair = masked(conv, data, torch.ones(data.edge_index.size(1)).double())
    assert pair.evaluator == "edgewise"
    assert_near(out.detach(), expected.detach())
    # Afterwards it computes as before.
    _, pair = conv(*arguments(data), return_pair=True)
    assert pair.evaluator == ("dense" if evaluator == "auto" else evaluator)


@pytest.mark.parametrize("evaluator", ["auto", "blocked"])
def test_a_mask_weighs_the_message_of_its_edge(data, evaluator):
    conv = with_evaluator(make_conv(), evaluator).double()
    mask = torch.rand(data.edge_index.size(1), dtype=torch.float64)
    out, pair = masked(conv, data, mask)

    # As the equation says it: the weight of each pair, times the mask where it is an edge.
    weight = torch.ones(data.num_nodes, data.num_nodes, dtype=torch.float64)
    weight[data.edge_index[1], data.edge_index[0]] = mask
    index = pair.all_pairs()
    logits = torch.full((conv.heads, data.num_nodes, data.num_nodes), -torch.inf, dtype=torch.float64)
    logits[:, index[1], index[0]] = pair.pairs(index).t()
    alpha = logits.softmax(-1).nan_to_num(0.0) * weight
    value = conv.lin_qkv(data.x)[:, 2 * conv.out_channels :].view(data.num_nodes, conv.heads, -1)
    expected = conv.lin_out(torch.einsum("hij,jhd->ihd", alpha, value).flatten(1))
    valid = valid_nodes(data)
    assert_near(out[valid].detach(), expected[valid].detach())

    raw = mask.logit()
    again, _ = masked(conv, data, raw, apply_sigmoid=True)
    assert_near(again.detach(), out.detach())


def test_gradient_of_a_mask_is_that_of_its_own_edge(data):
    conv = make_conv().double()
    mask = torch.ones(data.edge_index.size(1), dtype=torch.float64, requires_grad=True)
    node = int(data.edge_index[1, 0])
    out, _ = masked(conv, data, mask)
    (grad,) = torch.autograd.grad(out[node].sum(), mask)
    into = data.edge_index[1] == node
    assert (grad[into] != 0).all() and (grad[~into] == 0).all()


@pytest.mark.parametrize("evaluator", ["auto", "dense", "blocked", "fused"])
@pytest.mark.parametrize("conv", ["SE2TransformerConv", "GATv2Conv"])
def test_explainer(data, conv, evaluator):
    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = make_encoder(conv, evaluator=evaluator)
            self.lin = torch.nn.Linear(8, 3)

        def forward(self, x, edge_index, edge_attr, batch, node_type):
            return self.lin(self.encoder(x, edge_index, edge_attr, batch, node_type).x)

    x, edge_index, *rest = arguments(data)
    model = Classifier().double().eval()
    before = model(x, edge_index, *rest)
    explainer = Explainer(
        model,
        GNNExplainer(epochs=3),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
    names = ("edge_attr", "batch", "node_type")
    explanation = explainer(x, edge_index, index=0, **dict(zip(names, rest, strict=True)))
    assert explanation.edge_mask.shape == (data.edge_index.size(1),)
    # Only what is in the subpatch of the node can matter to it, and there all of it does.
    inside = data.batch[data.edge_index[0]] == data.batch[0]
    assert (explanation.edge_mask[~inside] == 0).all()
    assert (explanation.edge_mask[inside] > 0).any()
    assert (explanation.node_mask[data.batch != data.batch[0]] == 0).all()
    assert torch.equal(model(x, edge_index, *rest), before)


def test_errors(data):
    conv = make_conv().double()
    with pytest.raises(ValueError, match=r"holds 3 edges, but the layer was called with \d+"):
        masked(conv, data, torch.ones(3))
    conv.explain = True
    with pytest.raises(ValueError, match="no edge mask"):
        conv(*arguments(data))
