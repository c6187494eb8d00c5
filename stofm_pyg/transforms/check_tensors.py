import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.transforms.check_positions import check_coordinates

# What has a value for each node, where it is there.
OF_NODES = ("pos", "node_type", "cell_id", "cell_hash")
GRAPH = ("edge_index", "edge_attr")


def check_tensors(data: Data):
    r"""Checks that a slice, by whomever it was made, has features and positions for each of its nodes,
    and edges between them. It may have no edges.

    Args:
        data (Data): The slice.

    Raises:
        TypeError: A value is no tensor that can be computed with.
        ValueError: One is missing, or has another shape, values that are not finite, or nodes that are
            not there; the message names the first.
    """
    for key in ("x", *OF_NODES, *GRAPH):
        value = data.get(key)
        if value is not None:
            _check_kind(f"data.{key}", value)
    x, edge_index = data.x, data.edge_index
    if x is None:
        raise ValueError("The slice has no features; set 'data.x' to a tensor of shape [N, F]")
    if x.dim() != 2:
        raise ValueError(f"'data.x' must have shape [N, F] (got {list(x.shape)}): one row a node")
    for key in OF_NODES:
        value = data.get(key)
        if value is not None and (value.dim() == 0 or value.size(0) != x.size(0)):
            raise ValueError(
                f"'data.{key}' has shape {list(value.shape)}, 'data.x' {list(x.shape)}; both must hold "
                f"a row for each node"
            )
    check_coordinates(data.pos)
    finite = x.isfinite().all(dim=1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise ValueError(
            f"{int((~finite).sum())} of {x.size(0)} nodes have features that are not finite, the first "
            f"in row {row}; leave them out, or mend their features"
        )
    if edge_index is not None:
        _check_edges(edge_index, x.size(0))


def _check_kind(name: str, value: object):
    if not isinstance(value, Tensor):
        raise TypeError(f"'{name}' is a {type(value).__name__}; make it a tensor by 'torch.as_tensor'")
    if value.layout != torch.strided:
        raise TypeError(f"'{name}' is sparse; make it dense by '.to_dense()'")
    if value.is_meta:
        raise TypeError(f"'{name}' is on the meta device, where tensors have no values; move the data")
    if value.is_complex():
        raise TypeError(f"'{name}' holds complex numbers; take real ones")


def _check_edges(edge_index: Tensor, num_nodes: int):
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(
            f"'data.edge_index' must have shape [2, E] (got {list(edge_index.shape)}): the two ends of "
            f"each edge"
        )
    if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
        raise TypeError(f"'data.edge_index' holds {edge_index.dtype}; numbers of nodes are int64")
    if edge_index.numel() == 0:
        return
    first, last = (int(value) for value in edge_index.aminmax())
    if first < 0 or last >= num_nodes:
        raise ValueError(
            f"'data.edge_index' names nodes from {first} to {last}, but there are {num_nodes}; take "
            f"edges and nodes from the same slice"
        )
