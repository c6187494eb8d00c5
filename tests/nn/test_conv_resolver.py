import pytest
import torch
import torch_geometric.nn
from torch_geometric.nn import GATConv, GCNConv, GPSConv, NNConv, PNAConv, TransformerConv

from stofm_pyg.nn import SE2TransformerConv
from stofm_pyg.nn.conv_adapter import ConvAdapter
from stofm_pyg.nn.conv_resolver import find_conv, known_convs, make_conv

PROMISED = [
    "GCNConv",
    "GraphConv",
    "SAGEConv",
    "GATConv",
    "GATv2Conv",
    "GINEConv",
    "TransformerConv",
    "GeneralConv",
    "PNAConv",
    "ResGatedGraphConv",
    "NNConv",
    "CGConv",
    "GPSConv",
]


def test_known_convs():
    known = known_convs()
    assert {*PROMISED, "SE2TransformerConv"} <= set(known)
    assert known == sorted(set(known))
    assert not {"HeteroConv", "HGTConv", "RGCNConv", "FastRGCNConv", "MessagePassing"} & set(known)


@pytest.mark.parametrize("name", known_convs())
def test_a_known_conv_works_or_says_what_it_needs(name):
    edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    if name == "SE2TransformerConv":
        conv = make_conv(name, 8, 4, heads=2)
        assert conv(torch.randn(3, 8), edge_index, torch.ones(4, 1)).shape == (3, 8)
        return
    try:
        conv = make_conv(name, 8, 4, heads=2)
    except ValueError as error:
        assert f"'{name}' needs more than channels" in str(error)
        return
    out = ConvAdapter(conv, 4)(torch.randn(3, 8), edge_index, torch.randn(4, 4))
    assert out.shape == (3, 8)


def test_find_conv():
    assert find_conv("SE2TransformerConv") is SE2TransformerConv
    assert find_conv("GATConv") is GATConv
    assert find_conv("GPSConv") is GPSConv


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("GCNCnv", "GCNConv"),
        ("GATv3Conv", "GATv2Conv"),
        ("SE2Transformer", "SE2TransformerConv"),
        ("SAGECov", "SAGEConv"),
        ("GCN", "GCNConv"),
    ],
)
def test_a_near_miss(name, near):
    with pytest.raises(ValueError) as error:
        find_conv(name)
    message = str(error.value)
    assert message.startswith(f"Unknown conv '{name}'. Did you mean '{near}'? Known: ")
    assert message.endswith(", ".join(known_convs()))


@pytest.mark.parametrize("name", ["", "nothing like it", "Linear", "MessagePassing", "nn.GCNConv0"])
def test_no_conv_at_all(name):
    with pytest.raises(ValueError, match=f"Unknown conv '{name}'.* Known: .*GATConv.*"):
        find_conv(name)


@pytest.mark.parametrize("name", PROMISED)
def test_by_name_and_by_class(name):
    by_name = make_conv(name, 8, 4, heads=2)
    by_class = make_conv(getattr(torch_geometric.nn, name), 8, 4, heads=2)
    assert type(by_name).__name__ == name and type(by_class) is type(by_name)
    assert repr(by_class) == repr(by_name)


def test_by_factory():
    asked = []

    def factory(channels, edge_channels):
        asked.append((channels, edge_channels))
        return GCNConv(channels, channels, improved=True)

    conv = make_conv(factory, 8, 4, heads=2)
    assert asked == [(8, 4)] and isinstance(conv, GCNConv) and conv.improved


def test_heads_share_the_channels():
    conv = make_conv(GATConv, 8, 4, heads=2, dropout=0.3)
    assert (conv.in_channels, conv.out_channels, conv.heads) == (8, 4, 2)
    assert (conv.edge_dim, conv.dropout) == (4, 0.3)
    conv = make_conv(TransformerConv, 8, 4, heads=4)
    assert (conv.out_channels, conv.heads, conv.edge_dim) == (2, 4, 4)


def test_special_arguments():
    conv = make_conv(NNConv, 8, 4)
    assert conv.nn.in_features == 4 and conv.nn.out_features == 64 and conv.aggr == "mean"
    conv = make_conv(PNAConv, 8, 4)
    assert conv.edge_dim == 4 and conv.in_channels == conv.out_channels == 8
    conv = make_conv(GPSConv, 8, 4, heads=2, dropout=0.3)
    assert (conv.heads, conv.dropout, conv.channels) == (2, 0.3, 8)
    assert type(conv.conv).__name__ == "GINEConv" and conv.conv.lin.in_channels == 4


@pytest.mark.parametrize(
    ("name", "argument"), [("ChebConv", "K"), ("SSGConv", "alpha"), ("GMMConv", "kernel_size")]
)
def test_a_class_that_needs_more(name, argument):
    with pytest.raises(ValueError) as error:
        make_conv(name, 8, 4)
    message = str(error.value)
    assert message.startswith(f"'{name}' needs more than channels") and argument in message
    assert f"pass a factory, 'conv=lambda channels, edge_channels: {name}(...)'" in message
