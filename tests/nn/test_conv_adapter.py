import pytest
import torch
from torch_geometric.nn import GATConv, GCNConv, GINEConv, GPSConv, SAGEConv

from stofm_pyg.nn.conv_adapter import ConvAdapter
from stofm_pyg.nn.conv_resolver import make_conv

EDGE_INDEX = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


class Recorder(torch.nn.Module):
    """Notes what it is called with."""

    def note(self, x, **kwargs):
        self.kwargs = kwargs
        return 2 * x

    def reset_parameters(self):
        self.was_reset = True


class TakesFeatures(Recorder):
    def forward(self, x, edge_index, edge_attr=None, edge_weight=None):
        return self.note(x, edge_attr=edge_attr, edge_weight=edge_weight)


class TakesWeights(Recorder):
    def forward(self, x, edge_index, edge_weight=None, batch=None):
        return self.note(x, edge_weight=edge_weight, batch=batch)


class TakesNothing(Recorder):
    def forward(self, x, edge_index):
        return self.note(x)


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return torch.randn(3, 8), EDGE_INDEX, torch.randn(4, 5), torch.tensor([0, 0, 0])


def test_edge_features(inputs):
    conv = TakesFeatures()
    adapter = ConvAdapter(conv, 5)
    assert torch.equal(adapter(*inputs), 2 * inputs[0])
    assert conv.kwargs["edge_attr"] is inputs[2] and conv.kwargs["edge_weight"] is None
    assert list(adapter.parameters()) == []


def test_edge_weights(inputs):
    conv = TakesWeights()
    adapter = ConvAdapter(conv, 5)
    adapter(*inputs)
    lin = adapter.lin_weight
    expected = 1 / (1 + (-(inputs[2] @ lin.weight.t() + lin.bias)).exp())
    assert conv.kwargs["edge_weight"].shape == (4,)
    assert torch.allclose(conv.kwargs["edge_weight"], expected.view(-1), atol=1e-6)
    assert conv.kwargs["batch"] is inputs[3]


def test_neither(inputs):
    conv = TakesNothing()
    adapter = ConvAdapter(conv, 5)
    assert torch.equal(adapter(*inputs), 2 * inputs[0])
    assert conv.kwargs == {} and adapter.lin_weight is None


def test_is_the_operator_itself(inputs):
    torch.manual_seed(1)
    x, edge_index, edge_attr, batch = inputs
    for conv in (GATConv(8, 8, edge_dim=5), make_conv(GINEConv, 8, 5)):
        assert torch.equal(ConvAdapter(conv, 5)(*inputs), conv(x, edge_index, edge_attr=edge_attr))
    conv = SAGEConv(8, 8)
    assert torch.equal(ConvAdapter(conv, 5)(*inputs), conv(x, edge_index))
    conv = make_conv(GPSConv, 8, 5, heads=2).eval()
    expected = conv(x, edge_index, batch=batch, edge_attr=edge_attr)
    assert torch.equal(ConvAdapter(conv, 5)(*inputs), expected)


def test_pair_is_handed_through(inputs):
    pair = object()
    adapter = ConvAdapter(TakesNothing(), 5)
    out, same = adapter(*inputs, node_type=torch.zeros(3), pair=pair, return_pair=True)
    assert torch.equal(out, 2 * inputs[0]) and same is pair
    assert adapter(*inputs, return_pair=True)[1] is None


def test_reset_parameters():
    adapter = ConvAdapter(TakesWeights(), 5)
    with torch.no_grad():
        adapter.lin_weight.weight.fill_(7.0)
    adapter.reset_parameters()
    assert adapter.conv.was_reset and adapter.lin_weight.weight.abs().max() < 1


def test_repr():
    assert repr(ConvAdapter(GCNConv(8, 8), 5)) == "ConvAdapter(GCNConv(8, 8))"
