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


CONV_FILE = """
import torch
from torch_geometric.nn import GCNConv, MessagePassing


class MeanConv(MessagePassing):
    def __init__(self, in_channels, out_channels, edge_dim=None):
        super().__init__(aggr="mean")
        self.lin = torch.nn.Linear(in_channels, out_channels)
        self.edge_dim = edge_dim

    def reset_parameters(self):
        self.lin.reset_parameters()

    def forward(self, x, edge_index, edge_attr=None):
        return self.propagate(edge_index, x=self.lin(x))


def make_gcn(channels, edge_channels):
    return GCNConv(channels, channels, improved=True)


NUMBER = 3
"""


@pytest.fixture
def conv_file(tmp_path):
    path = tmp_path / "my_layers.py"
    path.write_text(CONV_FILE)
    return path


def test_a_class_in_a_file(conv_file, monkeypatch):
    conv = find_conv(f"{conv_file}:MeanConv")
    assert conv.__name__ == "MeanConv" and find_conv(f"{conv_file}:MeanConv") is conv
    monkeypatch.chdir(conv_file.parent)
    assert find_conv("my_layers.py:MeanConv") is conv
    made = make_conv("my_layers.py:MeanConv", 8, 4, heads=2)
    assert (made.lin.in_features, made.lin.out_features, made.edge_dim) == (8, 8, 4)
    edge_index, x = torch.tensor([[1, 2], [0, 0]]), torch.randn(3, 8)
    want = torch.cat([made.lin(x)[1:].mean(dim=0, keepdim=True), torch.zeros(2, 8)])
    assert torch.allclose(ConvAdapter(made, 4)(x, edge_index, torch.ones(2, 4)), want, atol=1e-6)
    conv_file.write_text(CONV_FILE.replace('aggr="mean"', 'aggr="sum"'))
    changed = make_conv("my_layers.py:MeanConv", 8, 4)
    assert type(changed) is not conv and changed.aggr == "sum"


def test_a_factory_in_a_file(conv_file):
    conv = make_conv(f"{conv_file}:make_gcn", 8, 4)
    assert isinstance(conv, GCNConv) and conv.improved


def test_a_class_in_a_module(conv_file, monkeypatch):
    monkeypatch.syspath_prepend(str(conv_file.parent))
    assert find_conv("my_layers:MeanConv").__module__ == "my_layers"
    assert find_conv("torch_geometric.nn:GATConv") is GATConv


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{file}:MeanCov", "There is no 'MeanCov' in .*did you mean 'MeanConv'"),
        ("{file}:Other9", "There is no 'Other9' in .*it has MeanConv"),
        ("{file}:NUMBER", "is no torch.nn.Module and no function that makes one, but 3"),
        ("{folder}/none.py:MeanConv", "There is no file '.*none.py' of .*looked from"),
        ("{folder}/broken.py:MeanConv", "broken.py' cannot be run: NameError: name 'oops'"),
        ("no_such_module:Conv", "The module 'no_such_module' of .* is not there"),
        (":Conv", "names no operator; write 'module:Class'"),
        ("{file}:", "names no operator; write 'module:Class'"),
    ],
)
def test_what_is_wrong_outside_is_said(name, message, conv_file):
    (conv_file.parent / "broken.py").write_text("oops\n")
    with pytest.raises(ValueError, match=message):
        find_conv(name.format(file=conv_file, folder=conv_file.parent))


def test_a_model_with_a_conv_from_a_file_is_saved_and_loaded(conv_file, monkeypatch, tmp_path):
    from stofm_pyg.models import SToFM

    monkeypatch.chdir(conv_file.parent)
    model = SToFM(5, 8, 1, conv="my_layers.py:MeanConv", heads=2, num_gaussians=4).eval()
    model.save_pretrained(tmp_path / "model")
    again = SToFM.from_pretrained(tmp_path / "model")
    assert again.config["conv"] == "my_layers.py:MeanConv"
    one, two = (item.encoder.blocks[0].conv.conv.lin.weight for item in (model, again))
    assert torch.equal(one, two)
    conv_file.unlink()
    with pytest.raises(ValueError, match="There is no file 'my_layers.py'"):
        SToFM.from_pretrained(tmp_path / "model")
