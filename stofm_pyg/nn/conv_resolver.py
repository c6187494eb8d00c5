import difflib
import inspect
from collections.abc import Callable

import torch
import torch_geometric.nn
from torch.nn import Linear, ReLU, Sequential
from torch_geometric.nn.conv import MessagePassing

from stofm_pyg.nn._conv_outside import find_outside
from stofm_pyg.nn.se2_transformer_conv import SE2TransformerConv

ConvLike = str | type | Callable[[int, int], torch.nn.Module]

# Those of torch_geometric.nn that map a graph with edge distances to as many channels.
KNOWN_CONVS = (
    "AGNNConv ARMAConv CGConv ClusterGCNConv EGConv FeaStConv FiLMConv GATConv GATv2Conv GCNConv "
    "GENConv GINConv GINEConv GPSConv GatedGraphConv GeneralConv GraphConv LEConv MFConv NNConv "
    "PNAConv ResGatedGraphConv SAGEConv SE2TransformerConv SGConv SuperGATConv TAGConv "
    "TransformerConv"
).split()


def known_convs() -> list[str]:
    r"""The names of operators that :func:`make_conv` takes."""
    return sorted(KNOWN_CONVS)


def find_conv(name: str) -> ConvLike:
    r"""The operator of a name; an unknown one is an error that lists the known.

    Args:
        name (str): That of a class of :obj:`torch_geometric.nn`, or of a class or factory elsewhere:
            :obj:`"module:Class"`, of a module that can be imported, or :obj:`"path/to/file.py:Class"`.
            The file is run.

    Raises:
        ValueError: There is no such operator, module or file; the message says what there is.
    """
    if ":" in name:
        return find_outside(name)
    if name == "SE2TransformerConv":
        return SE2TransformerConv
    conv = getattr(torch_geometric.nn, name, None)
    if not name.endswith("Conv") or not inspect.isclass(conv):
        known = known_convs()
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"Unknown conv '{name}'.{hint} Known: {', '.join(known)}")
    return conv


def make_conv(
    conv: ConvLike, channels: int, edge_channels: int, heads: int = 1, dropout: float = 0.0
) -> torch.nn.Module:
    r"""Builds an operator from :obj:`channels` to :obj:`channels` that takes edge features if it can.

    Args:
        conv (str, type or Callable): A name, see :meth:`find_conv`, a class, or a factory that is
            called with :obj:`(channels, edge_channels)` and returns the operator.
        channels (int): Size of each input and output sample.
        edge_channels (int): Size of an edge's features.
        heads (int, optional): Number of attention heads, where there are any. (default: :obj:`1`)
        dropout (float, optional): Dropout of attention, where there is any. (default: :obj:`0.0`)
    """
    if isinstance(conv, str):
        conv = find_conv(conv)
    if not inspect.isclass(conv):
        return conv(channels, edge_channels)

    special = {
        "GINConv": lambda: conv(_mlp(channels, channels)),
        "GINEConv": lambda: conv(_mlp(channels, channels), edge_dim=edge_channels),
        "NNConv": lambda: conv(channels, channels, Linear(edge_channels, channels**2), aggr="mean"),
        "ECConv": lambda: conv(channels, channels, Linear(edge_channels, channels**2), aggr="mean"),
        "CGConv": lambda: conv(channels, dim=edge_channels),
        "GPSConv": lambda: conv(channels, _gps_local(channels, edge_channels), heads, dropout),
        "PNAConv": lambda: _pna(conv, channels, edge_channels),
        "GeneralConv": lambda: conv(channels, channels, in_edge_channels=edge_channels),
    }
    if conv.__name__ in special:
        return special[conv.__name__]()

    parameters = inspect.signature(conv.__init__).parameters
    kwargs = {}
    if "edge_dim" in parameters:
        kwargs["edge_dim"] = edge_channels
    out_channels = channels
    if "heads" in parameters:
        kwargs["heads"] = heads
        if "concat" in parameters:
            out_channels = channels // heads
        if "dropout" in parameters:
            kwargs["dropout"] = dropout
    try:
        return conv(channels, out_channels, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"'{conv.__name__}' needs more than channels ({error}); pass a factory, "
            f"'conv=lambda channels, edge_channels: {conv.__name__}(...)'"
        ) from error


def _mlp(in_channels: int, out_channels: int) -> Sequential:
    return Sequential(Linear(in_channels, out_channels), ReLU(), Linear(out_channels, out_channels))


def _gps_local(channels: int, edge_channels: int) -> MessagePassing:
    return make_conv(torch_geometric.nn.GINEConv, channels, edge_channels)


def _pna(conv: type, channels: int, edge_channels: int) -> MessagePassing:
    # The degrees of the training graph are not known here: scalers start from 50 and are learned.
    degrees = torch.zeros(51, dtype=torch.long)
    degrees[50] = 1
    return conv(
        channels,
        channels,
        aggregators=["mean", "min", "max", "std"],
        scalers=["identity", "amplification", "attenuation"],
        deg=degrees,
        edge_dim=edge_channels,
        train_norm=True,
    )
