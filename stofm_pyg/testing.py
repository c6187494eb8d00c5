r"""Assertions for models of slices."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from stofm_pyg.nn.node_type import NodeType

SYMMETRIES = ("rotation", "translation", "reflection", "permutation", "batching")


def assert_invariant(
    function: Callable[[Data], Tensor],
    data: Data,
    symmetries: tuple[str, ...] = SYMMETRIES,
    graph: Callable[[Data], Data] | None = None,
    tolerance: float = 1e-4,
    seed: int = 0,
):
    r"""Asserts that what a function says of the nodes of a slice does not depend on how the slice is
    laid out.

    A function of distances alone is invariant to reflections too: to E(2), of which SE(2), rotations
    and translations, is a part.

    Args:
        function (Callable): From a slice to one row per node :math:`(N, *)`.
        data (Data): A slice; not changed.
        symmetries (tuple[str], optional): Which to check: :obj:`"rotation"` (by three angles),
            :obj:`"translation"`, :obj:`"reflection"`, :obj:`"permutation"` of the nodes (rows move
            with their nodes), and :obj:`"batching"` with another subpatch. (default: all)
        graph (Callable, optional): Builds the graph anew from changed positions, *e.g.*,
            :class:`~stofm_pyg.transforms.SpatialRadiusGraph`. Without, edges stay and distances are
            measured anew where there are any. (default: :obj:`None`)
        tolerance (float, optional): The largest difference, relative to the largest value.
            (default: :obj:`1e-4`)
        seed (int, optional): The seed of angles, shifts and permutations. (default: :obj:`0`)

    Raises:
        AssertionError: If a symmetry does not hold; the message says which, by how much and where.
    """
    unknown = sorted(set(symmetries) - set(SYMMETRIES))
    if unknown:
        raise ValueError(f"Unknown symmetries {unknown}; known: {', '.join(SYMMETRIES)}")
    generator = torch.Generator().manual_seed(seed)
    build = graph or measure_edges
    expected = function(data.clone())

    for name, moved in _moves(data, symmetries, generator):
        _compare(name, function(build(moved)), expected, tolerance)
    if "permutation" in symmetries:
        perm = torch.randperm(data.num_nodes, generator=generator)
        _compare("permutation", function(permute_nodes(data, perm)), expected[perm], tolerance)
    if "batching" in symmetries:
        other = data.subgraph(torch.arange(data.num_nodes) < max(1, 2 * data.num_nodes // 3))
        batch = Batch.from_data_list([other, data.clone()])
        _compare("batching", function(batch)[other.num_nodes :], expected, tolerance)


def measure_edges(data: Data) -> Data:
    r"""Measures the distances :math:`(|\mathcal{E}|, 1)` of the edges of a slice anew, in place."""
    if data.edge_index is not None and data.edge_attr is not None:
        source, target = data.edge_index
        distance = (data.pos[source].double() - data.pos[target].double()).norm(dim=1, keepdim=True)
        if data.get("node_type") is not None:  # CLS has no position: its edges stand at zero.
            is_cls = data.node_type == NodeType.CLS
            distance[is_cls[source] | is_cls[target]] = 0.0
        data.edge_attr = distance.to(data.edge_attr.dtype)
    return data


def permute_nodes(data: Data, perm: Tensor) -> Data:
    r"""The slice with its nodes in another order: node :math:`i` is the old :obj:`perm[i]`."""
    out = data.clone()
    for key in data.node_attrs():
        out[key] = data[key][perm]
    if data.edge_index is not None:
        out.edge_index = perm.argsort()[data.edge_index]
    return out


def _moves(data: Data, symmetries: tuple[str, ...], generator: torch.Generator):
    pos = data.pos.double()
    spread = float((pos - pos.mean(dim=0)).norm(dim=1).max())
    if "rotation" in symmetries:
        for angle in (2 * math.pi * torch.rand(3, generator=generator)).tolist():
            cos, sin = math.cos(angle), math.sin(angle)
            matrix = pos.new_tensor([[cos, sin], [-sin, cos]])
            yield f"rotation by {math.degrees(angle):.1f} degrees", _at(data, pos @ matrix)
    if "translation" in symmetries:
        shift = spread * torch.randn(2, generator=generator, dtype=pos.dtype)
        yield f"translation by {shift.tolist()}", _at(data, pos + shift)
    if "reflection" in symmetries:
        yield "reflection", _at(data, pos * pos.new_tensor([-1.0, 1.0]))


def _at(data: Data, pos: Tensor) -> Data:
    # Positions keep double precision, so that rounding them does not pass for a broken symmetry.
    out = data.clone()
    out.pos = pos
    return out


def _compare(name: str, actual: Tensor, expected: Tensor, tolerance: float):
    if actual.shape != expected.shape:
        raise AssertionError(f"{name}: shape {list(actual.shape)}, not {list(expected.shape)}")
    scale = float(expected.detach().abs().max().clamp(min=1e-12))
    error = (actual - expected).detach().abs().flatten(1).amax(dim=1) / scale
    if not bool(error.max() <= tolerance):
        worst = int(error.nan_to_num(float("inf")).argmax())
        raise AssertionError(
            f"{name}: differs by {float(error.max()):.2e} of the largest value ({scale:.3g}), at node "
            f"{worst}; allowed is {tolerance:.0e}"
        )
