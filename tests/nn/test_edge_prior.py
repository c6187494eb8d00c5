import pytest
import torch

from stofm_pyg.nn import NodeType
from tests.nn.attention_case import SPECIAL, assert_near
from tests.nn.conv_case import EVALUATORS, gradients, make_conv, valid_nodes, with_evaluator
from tests.nn.encoder_case import make_encoder
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.usefixtures("plain_flex_attention")


def make_prior(data, channels=2, seed=0):
    """Scores that differ between the two directions of an edge."""
    generator = torch.Generator().manual_seed(seed)
    prior = torch.randn(data.edge_index.size(1), channels, generator=generator, dtype=torch.float64)
    return prior.to(data.x.dtype)


def prior_conv(channels=2, **kwargs):
    conv = make_conv(prior_channels=channels, **kwargs)
    with torch.no_grad():
        conv.prior_weight.normal_(generator=torch.Generator().manual_seed(1))
    return conv


def by_hand(conv, data, prior):
    """The output as the equation says it, with matrices."""
    num_nodes, heads = data.num_nodes, conv.heads
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    source, target = edge_index
    far = conv.distance(torch.tensor([[conv.far]], dtype=x.dtype)).view(heads, 1, 1)
    bias = far.repeat(1, num_nodes, num_nodes)
    bias[:, target, source] = (conv.distance(edge_attr) + prior @ conv.prior_weight.t()).t()
    is_cls = node_type == NodeType.CLS
    bias[:, is_cls] = 0.0
    bias[:, :, is_cls] = 0.0
    bias.diagonal(dim1=1, dim2=2).zero_()
    qkv = conv.lin_qkv(x).view(num_nodes, 3, heads, -1)
    query, key, value = qkv.permute(1, 2, 0, 3)
    logits = bias + query @ key.mT / query.size(-1) ** 0.5
    apart = (batch.view(-1, 1) != batch) | (node_type == NodeType.PADDING)
    alpha = logits.masked_fill(apart, -torch.inf).softmax(-1).nan_to_num(0.0)
    return conv.lin_out((alpha @ value).transpose(0, 1).flatten(1))


@pytest.mark.parametrize("special", [(), (3, 1, 2, 2), SPECIAL], ids=["cells", "special", "padding"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)], ids=["32", "64"]
)
def test_evaluators_agree(blocks, special, dtype, tolerance):
    data = random_batch(sizes=(9, 6, 2), special=special, dtype=dtype)
    prior = make_prior(data)
    valid = valid_nodes(data)
    results = {}
    for evaluator in EVALUATORS:
        conv = with_evaluator(prior_conv(), evaluator).to(dtype)
        scores = prior.clone().requires_grad_()
        out, pair = conv(*arguments(data), return_pair=True, edge_prior=scores)
        scored = pair.pairs(data.edge_index)
        loss = out[valid].square().sum() + scored.square().mean()
        grads = torch.autograd.grad(loss, [*conv.parameters(), scores])
        results[evaluator] = (out[valid].detach(), scored.detach(), *grads)
    assert_near(results["edgewise"][0], by_hand(conv, data, prior)[valid].detach(), tolerance)
    expected = results.pop("edgewise")
    assert all(value.abs().max() > 0 for value in expected)
    for actual in results.values():
        for ours, theirs in zip(actual, expected, strict=True):
            assert_near(ours, theirs, tolerance)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_starts_from_nothing(evaluator):
    data = random_batch(sizes=(9, 6, 2))
    plain, conv = make_conv(evaluator=evaluator), make_conv(evaluator=evaluator, prior_channels=2)
    assert conv.prior_weight.abs().max() == 0
    out = conv(*arguments(data), edge_prior=make_prior(data))
    assert torch.allclose(out, plain(*arguments(data)), atol=1e-6)
    # Yet it learns: its gradient is not zero.
    grads = gradients(conv, out.square().sum())
    names = [name for name, _ in conv.named_parameters()]
    assert grads[names.index("prior_weight")].abs().max() > 0
    torch.nn.init.ones_(conv.prior_weight)
    conv.reset_parameters()
    assert conv.prior_weight.abs().max() == 0


def test_without_a_prior_nothing_is_another():
    plain = make_conv()
    assert plain.prior_weight is None
    assert [name for name, _ in plain.named_parameters()] == [
        name for name, _ in make_conv(prior_channels=1).named_parameters() if "prior" not in name
    ]


def test_a_message_follows_its_own_direction():
    data = random_batch(sizes=(4,), special=(), dtype=torch.float64)
    conv = prior_conv(1).double()
    prior = torch.zeros(data.edge_index.size(1), 1, dtype=torch.float64)
    source, target = data.edge_index[:, 0].tolist()
    prior[0] = 50.0
    conv.prior_weight.data.fill_(1.0)
    with torch.no_grad():
        value = conv.lin_qkv(data.x)[:, 2 * conv.out_channels :]
        out = conv(*arguments(data), edge_prior=prior)
        before = conv(*arguments(data), edge_prior=torch.zeros_like(prior))
    # The target of the edge sees its source and nothing else; the others see what they saw.
    assert torch.allclose(out[target], conv.lin_out(value[source]))
    others = torch.arange(4) != target
    assert torch.allclose(out[others], before[others])
    assert not torch.allclose(out[target], before[target])


@pytest.mark.parametrize("conv", ["SE2TransformerConv", "GATv2Conv", "GCNConv"])
def test_encoder(conv):
    data = random_batch(sizes=(9, 6, 2))
    prior = make_prior(data)
    plain, encoder = make_encoder(conv), make_encoder(conv, prior_channels=2)
    encoder.load_state_dict(plain.state_dict(), strict=False)
    expected = plain(*arguments(data)).x
    assert torch.allclose(encoder(*arguments(data), edge_prior=prior).x, expected, atol=1e-6)
    weight = (encoder.blocks[0].conv if encoder.is_se2 else encoder).prior_weight
    torch.nn.init.normal_(weight, std=3.0)
    out = encoder(*arguments(data), edge_prior=prior)
    assert not torch.allclose(out.x, expected, atol=1e-3)
    out.x.sum().backward()
    encoder.reset_parameters()
    assert weight.abs().max() == 0


def test_encoder_evaluators_agree():
    data = random_batch(sizes=(9, 6, 2), dtype=torch.float64)
    prior, results = make_prior(data), []
    for evaluator in ("edgewise", "dense", "blocked", "fused"):
        encoder = make_encoder(evaluator=evaluator, prior_channels=2, num_layers=3).double()
        weight = encoder.blocks[0].conv.prior_weight
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
        out = encoder(*arguments(data), edge_prior=prior).x[valid_nodes(data)]
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), [weight])))
    for actual in results[1:]:
        for ours, theirs in zip(actual, results[0], strict=True):
            assert_near(ours, theirs, 1e-10)


def test_compiled():
    data = random_batch(sizes=(9, 6, 2), dtype=torch.float64)
    conv, prior = prior_conv().double(), make_prior(data)
    compiled = torch.compile(conv, fullgraph=True, backend="eager")
    outs = [module(*arguments(data), edge_prior=prior) for module in (conv, compiled)]
    assert_near(outs[1].detach(), outs[0].detach(), 1e-10)
    grads = [gradients(conv, out.square().sum()) for out in outs]
    for actual, expected in zip(*reversed(grads), strict=True):
        assert_near(actual, expected, 1e-9)


def test_errors():
    data = random_batch(sizes=(4,))
    num_edges = data.edge_index.size(1)
    with pytest.raises(ValueError, match=r"shape \(\d+, 2\) is given, but 'prior_channels' is 0"):
        make_conv()(*arguments(data), edge_prior=make_prior(data))
    with pytest.raises(ValueError, match=rf"scores for each of the {num_edges} edges"):
        make_conv(prior_channels=2)(*arguments(data))
    with pytest.raises(ValueError, match=rf"got shape \({num_edges}, 1\)"):
        make_encoder(prior_channels=2)(*arguments(data), edge_prior=make_prior(data, 1))
    with pytest.raises(ValueError, match="got 1 with num_gaussians=None"):
        make_conv(num_gaussians=None, prior_channels=1)
    _, pair = prior_conv()(*arguments(data), return_pair=True, edge_prior=make_prior(data))
    with pytest.raises(ValueError, match="pass 'edge_prior' to the first layer alone"):
        prior_conv()(*arguments(data), pair=pair, edge_prior=make_prior(data))
    with pytest.raises(ValueError, match="must be 0 or more"):
        make_conv(prior_channels=-1)
