import pytest
import torch

from stofm_pyg.nn import PairRepresentation, SE2TransformerConv
from tests.nn.conv_case import EVALUATORS, make_conv
from tests.random_batch import arguments, random_batch

pytestmark = pytest.mark.usefixtures("plain_flex_attention")


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
