import pytest
import torch
import torch_geometric.nn
from torch_geometric.nn import GATv2Conv, GCNConv, NNConv

from stofm_pyg.nn import NodeType, PairRepresentation, SE2TransformerConv, SliceEncoder
from stofm_pyg.nn.attention.evaluators import DENSE_BYTES
from stofm_pyg.testing import assert_invariant
from tests.nn.attention_case import FAST, SPECIAL, assert_near, cut_blocks, use_plain_flex_attention
from tests.nn.encoder_case import EVALUATORS, gradients, make_encoder, valid_nodes, with_evaluator
from tests.random_batch import arguments, random_batch

WITH_FEATURES = ["GATConv", "GATv2Conv", "GINEConv", "TransformerConv", "GeneralConv", "PNAConv"]
WITH_FEATURES += ["ResGatedGraphConv", "NNConv", "CGConv", "GPSConv"]
WITH_DISTANCES = ["SE2TransformerConv", "GCNConv", "GraphConv", *WITH_FEATURES]
CONVS = [*WITH_DISTANCES, "SAGEConv"]


def distance_encoder(encoder):
    return encoder.blocks[0].conv.distance if encoder.is_se2 else encoder.distance


@pytest.mark.parametrize("conv", CONVS)
def test_every_conv(conv):
    data = random_batch()
    encoder = make_encoder(conv)
    output = encoder(*arguments(data))
    assert output.x.shape == (data.num_nodes, 8) and output.x.isfinite().all()
    assert [tuple(h.shape) for h in output.hidden_states] == [(data.num_nodes, 8)] * 3
    assert output.hidden_states[-1] is output.x
    assert isinstance(output.pair, PairRepresentation) and output.pair.heads == 2
    (output.x.square().sum() + output.pair.pairs(data.edge_index).square().mean()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("conv", CONVS)
def test_distances_reach_the_conv(conv):
    data = random_batch()
    encoder = make_encoder(conv).eval()
    output = encoder(*arguments(data)).x
    # A sum of squares alone is constant behind layer normalisation, and its gradient is noise.
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    changed = data.clone()
    changed.edge_attr = 0.5 * data.edge_attr
    difference = (encoder(*arguments(changed)).x - output).abs().max()
    gradients = [p.grad for p in distance_encoder(encoder).parameters()]
    if conv in WITH_DISTANCES:
        assert difference > 1e-4
        assert all(grad.abs().max() > 1e-6 for grad in gradients)
    else:
        assert difference == 0 and all(grad is None for grad in gradients)


@pytest.mark.parametrize("conv", CONVS)
def test_by_name_by_class_and_by_factory_are_the_same(conv):
    cls = SE2TransformerConv if conv.startswith("SE2") else getattr(torch_geometric.nn, conv)
    by_name, by_class = make_encoder(conv).eval(), make_encoder(cls).eval()
    data = random_batch()
    assert torch.equal(by_class(*arguments(data)).x, by_name(*arguments(data)).x)
    assert repr(by_class) == repr(by_name)


def test_by_factory():
    data = random_batch()
    by_class = make_encoder(GATv2Conv)
    by_factory = make_encoder(lambda c, e: GATv2Conv(c, c // 2, heads=2, edge_dim=e))
    assert torch.equal(by_factory(*arguments(data)).x, by_class(*arguments(data)).x)


def test_a_factory_may_build_what_no_name_can():
    data = random_batch()
    network = torch_geometric.nn.MLP([8, 4, 64], norm=None)
    encoder = make_encoder(lambda c, e: NNConv(c, c, network, aggr="max"), num_layers=1)
    assert encoder.blocks[0].conv.conv.nn is network
    assert encoder(*arguments(data)).x.shape == (data.num_nodes, 8)


def test_a_subclass_of_our_layer_and_a_factory_of_it():
    class Renamed(SE2TransformerConv):
        pass

    data = random_batch()
    expected = make_encoder()(*arguments(data)).x
    assert torch.equal(make_encoder(Renamed)(*arguments(data)).x, expected)

    def factory(channels, edge_channels):
        return SE2TransformerConv(channels, channels, heads=2)

    assert make_encoder(factory)(*arguments(data)).x.shape == expected.shape


@pytest.mark.parametrize("conv", CONVS)
def test_invariant(conv):
    data = random_batch(sizes=(12,), special=(2, 2))
    encoder = make_encoder(conv).eval()
    assert_invariant(lambda data: encoder(*arguments(data)).x, data)


@pytest.mark.parametrize("conv", CONVS)
def test_other_subpatches_do_not_matter(conv):
    data = random_batch(sizes=(9, 6, 3))
    encoder = make_encoder(conv).eval()
    output = encoder(*arguments(data))
    for graph in range(3):
        mine = data.batch == graph
        part = data.subgraph(mine)
        part.batch = None
        alone = encoder(*arguments(part))
        assert torch.allclose(alone.x, output.x[mine], atol=1e-5)
        size = int(mine.sum())
        dense = output.pair.dense()[graph, :size, :size]
        assert torch.allclose(alone.pair.dense()[0], dense, atol=1e-4)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize(
    ("num_layers", "heads", "special"), [(1, 1, ()), (2, 2, (1, 2, 2)), (3, 4, SPECIAL)]
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["32", "64"]
)
def test_evaluators_agree(monkeypatch, blocks, pre_norm, num_layers, heads, special, dtype, tolerance):
    use_plain_flex_attention(monkeypatch)
    data = random_batch(sizes=(9, 6, 2), special=special, dtype=dtype)
    # A subpatch of which nothing is left.
    data.batch = data.batch + (data.batch == 2)
    encoder = make_encoder(num_layers=num_layers, heads=heads, pre_norm=pre_norm).to(dtype)
    valid, results = valid_nodes(data), []
    for evaluator in ("edgewise", "auto", *FAST):
        output = with_evaluator(encoder, evaluator)(*arguments(data))
        x, scored = output.x[valid], output.pair.pairs(data.edge_index)
        loss = x.sin().sum() + scored.square().mean()
        results.append((x.detach(), scored.detach(), *gradients(encoder, loss)))
    for others in results[1:]:
        for actual, expected in zip(others, results[0], strict=True):
            # Softmax does not feel a shift of all keys, so the gradient of their bias is nearly zero.
            assert (actual - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("evaluator", FAST)
def test_finite_differences(monkeypatch, evaluator):
    cut_blocks(monkeypatch)
    use_plain_flex_attention(monkeypatch)
    data = random_batch(sizes=(3, 1), channels=2, special=(1,), dtype=torch.float64)
    torch.manual_seed(0)
    encoder = SliceEncoder(
        2, 4, 2, heads=2, num_gaussians=3, max_distance=3.0, dropout=0.1, attention_dropout=0.2,
        evaluator=evaluator,
    ).double()  # fmt: skip
    names = [name for name, _ in encoder.named_parameters()]

    def function(*values):
        torch.manual_seed(1)
        parameters = dict(zip(names, values, strict=True))
        output = torch.func.functional_call(encoder, parameters, arguments(data))
        return output.x, output.pair.pairs(data.edge_index)

    assert torch.autograd.gradcheck(function, tuple(encoder.parameters()), fast_mode=True)


def test_the_evaluator_is_that_of_every_layer():
    for evaluator in EVALUATORS:
        encoder = make_encoder(num_layers=3, evaluator=evaluator)
        assert [block.conv.evaluator for block in encoder.blocks] == [evaluator] * 3
    assert make_encoder().blocks[0].conv.evaluator == "auto"
    assert make_encoder(GCNConv, evaluator="blocked").blocks[0].conv.conv is not None
    with pytest.raises(ValueError, match="Unknown evaluator 'fast'; known: auto, dense, blocked"):
        make_encoder(evaluator="fast")


def test_auto_goes_on_with_what_it_chose(monkeypatch):
    data = random_batch()
    encoder = make_encoder(num_layers=3)
    dense = encoder(*arguments(data))
    monkeypatch.setitem(DENSE_BYTES, "cpu", 0)
    blocked = encoder(*arguments(data))
    assert (dense.pair.evaluator, blocked.pair.evaluator) == ("dense", "blocked")
    assert_near(blocked.x.detach(), dense.x.detach(), 1e-5)


def test_only_the_first_layer_encodes_distances():
    encoder = make_encoder(num_layers=3)
    assert [block.conv.distance is None for block in encoder.blocks] == [False, True, True]
    assert encoder(*arguments(random_batch())).pair.num_layers == 3


def test_node_types_are_told_apart():
    data = random_batch()
    for conv in ("SE2TransformerConv", "GCNConv"):
        encoder = make_encoder(conv)
        hidden = encoder(*arguments(data)).hidden_states[0]
        embedding = encoder.node_type_emb(data.node_type)
        assert torch.allclose(hidden, encoder.lin_in(data.x) + embedding, atol=1e-6)
    assert encoder.node_type_emb.weight.shape == (len(NodeType), 8)


def test_without_node_types_all_are_cells():
    data = random_batch(special=())
    encoder = make_encoder()
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    expected = encoder(x, edge_index, edge_attr, batch, node_type.byte()).x
    assert torch.equal(encoder(x, edge_index, edge_attr, batch).x, expected)


def test_pair_of_other_convs_is_a_bilinear_form():
    data = random_batch(special=())
    encoder = make_encoder(GCNConv)
    output = encoder(*arguments(data))
    query, key = encoder.lin_pair(output.x).chunk(2, dim=1)
    index = torch.tensor([[0, 2, 10], [1, 2, 12]])
    product = (query[index[1]] * key[index[0]]).view(3, 2, 4).sum(dim=-1) / 4**0.5
    assert torch.allclose(output.pair.pairs(index), product, atol=1e-6)


@pytest.mark.parametrize("conv", ["GCNConv", "SAGEConv", "SE2TransformerConv"])
def test_no_distances(conv):
    data = random_batch()
    with pytest.raises(ValueError, match=rf"one distance for each of the {data.num_edges} edges"):
        make_encoder(conv)(data.x, data.edge_index)


def test_distances_as_a_vector():
    data = random_batch(special=())
    x, edge_index, edge_attr, batch, _ = arguments(data)
    for conv in ("SE2TransformerConv", "GATConv"):
        encoder = make_encoder(conv)
        expected = encoder(x, edge_index, edge_attr, batch).x
        assert torch.equal(encoder(x, edge_index, edge_attr.view(-1), batch).x, expected)


@pytest.mark.parametrize("conv", CONVS)
def test_no_edges_and_a_single_cell(conv):
    edge_index, edge_attr = torch.empty(2, 0, dtype=torch.long), torch.empty(0, 1)
    encoder = make_encoder(conv).eval()
    assert encoder(torch.randn(3, 5), edge_index, edge_attr).x.isfinite().all()
    assert encoder(torch.randn(1, 5), edge_index, edge_attr).x.isfinite().all()


@pytest.mark.parametrize("conv", CONVS)
def test_reset_parameters(conv):
    encoder = make_encoder(conv)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.fill_(7.0)
    encoder.reset_parameters()
    left = [name for name, p in encoder.named_parameters() if (p == 7).any()]
    # torch.nn.MultiheadAttention, which GPSConv holds, leaves this one as it is.
    assert [name for name in left if not name.endswith("attn.out_proj.weight")] == []


def test_dropout_only_in_training():
    data = random_batch()
    plain = make_encoder()(*arguments(data)).x
    for options in ({"dropout": 0.5}, {"attention_dropout": 0.5}):
        encoder = make_encoder(**options)
        assert torch.equal(encoder.eval()(*arguments(data)).x, plain)
        assert not torch.allclose(encoder.train()(*arguments(data)).x, plain, atol=1e-3)


@pytest.mark.parametrize("evaluator", [*EVALUATORS, None])
def test_autocast(monkeypatch, blocks, evaluator):
    use_plain_flex_attention(monkeypatch)
    data = random_batch()
    encoder = make_encoder(evaluator=evaluator) if evaluator else make_encoder(GCNConv)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = encoder(*arguments(data))
            scored = output.pair.pairs(data.edge_index)
            loss = (output.x * torch.linspace(-1, 1, 8)).sum() + scored.square().mean()
        results.append((*output.hidden_states, scored, *torch.autograd.grad(
            loss, encoder.parameters(), allow_unused=True
        )))  # fmt: skip
    for actual, expected in zip(results[1], results[0], strict=True):
        if expected is not None:
            assert actual.dtype == torch.float32
            assert (actual - expected).abs().max() <= 0.05 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("conv", ["SE2TransformerConv", "GCNConv"])
@pytest.mark.parametrize("evaluator", ["dense", "blocked"])
def test_backward_under_autocast(blocks, conv, evaluator):
    data = random_batch()
    encoder = make_encoder(conv, evaluator=evaluator)
    with torch.autocast("cpu", torch.bfloat16):
        output = encoder(*arguments(data))
        loss = output.x.sin().sum() + output.pair.pairs(data.edge_index).square().mean()
        inside = torch.autograd.grad(loss, encoder.parameters(), retain_graph=True)
    for actual, expected in zip(inside, gradients(encoder, loss), strict=True):
        assert (actual - expected).abs().max() <= 0.01 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("name", ["batch", "node_type"])
@pytest.mark.parametrize("shape", [(20,), (22,), (21, 1), (0,), (1,)])
@pytest.mark.parametrize("conv", ["SE2TransformerConv", "GCNConv"])
def test_a_mask_of_another_shape(name, shape, conv):
    data = random_batch()
    data[name] = torch.zeros(shape, dtype=torch.long)
    with pytest.raises(ValueError) as error:
        make_encoder(conv)(*arguments(data))
    assert str(error.value) == (
        f"'{name}' must hold one value for each of the 21 nodes (got shape {shape})"
    )


def test_half_precision_on_a_cpu():
    data = random_batch()
    with pytest.raises(ValueError, match="torch.float16 on a CPU"):
        make_encoder().half()(data.x.half(), data.edge_index, data.edge_attr.half())


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf")])
def test_a_distance_that_is_none(distance):
    data = random_batch()
    data.edge_attr[5] = distance
    with pytest.raises(ValueError, match=f"finite and not negative .got {distance} along the edge"):
        make_encoder()(*arguments(data))


def test_sizes():
    encoder = make_encoder(num_layers=3, ffn_channels=20, far=50.0)
    assert encoder.blocks[2].lin1.weight.shape == (20, 8)
    assert encoder.blocks[0].conv.far == 50.0
    assert encoder.blocks[0].conv.distance.num_gaussians == 6
    assert make_encoder().blocks[0].lin1.weight.shape == (8, 8)


def test_repr():
    assert repr(SliceEncoder(16, 32, 2)) == (
        "SliceEncoder(16, 32, num_layers=2, conv=SE2TransformerConv, heads=8)"
    )
    assert repr(make_encoder(GCNConv)) == ("SliceEncoder(5, 8, num_layers=2, conv=GCNConv, heads=2)")


def test_heads_that_do_not_fit():
    for conv in ("SE2TransformerConv", "SAGEConv"):
        with pytest.raises(ValueError, match=r"multiple of 'heads' \(got 8 and 3\)"):
            make_encoder(conv, heads=3)


@pytest.mark.parametrize("num_layers", [0, -1])
def test_no_layers(num_layers):
    with pytest.raises(ValueError, match=rf"'num_layers' must be at least 1 \(got {num_layers}\)"):
        make_encoder(num_layers=num_layers)


def test_unknown_conv():
    with pytest.raises(ValueError, match="Unknown conv 'GCN'. Did you mean 'GCNConv'?"):
        make_encoder("GCN")


def test_a_conv_that_needs_more():
    with pytest.raises(ValueError, match="'ChebConv' needs more than channels.*pass a factory"):
        make_encoder("ChebConv")


def test_a_directed_graph():
    data = random_batch()
    x, edge_index, edge_attr, batch, node_type = arguments(data)
    with pytest.raises(ValueError, match="must be undirected"):
        make_encoder()(x, edge_index[:, 1:], edge_attr[1:], batch, node_type)
