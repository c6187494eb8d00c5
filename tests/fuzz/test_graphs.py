"""Graphs by other hands: right, or refused in one sentence."""

import functools

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from stofm_pyg.loader import SpatialClusterData, SubpatchLoader
from stofm_pyg.models import SToFM
from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import SpatialRadiusGraph
from tests.fuzz.profile import examples, refused, sentence
from tests.fuzz.strategies import graphs

HANDS = (
    "directed", "repeated", "loops", "int32", "half", "double", "flat", "shuffled", "doubled", "lost",
)  # fmt: skip
# What means the same graph, as what means another one is to be refused.
SAME = ("int32", "double", "flat", "shuffled")


@functools.cache
def make_model():
    torch.manual_seed(0)
    return SToFM(in_channels=3, hidden_channels=8, num_layers=2, heads=2, ffn_channels=8).eval()


def clean(pos, pairs, rng):
    edge_index = torch.cat([pairs, pairs.flip(0)], dim=1)
    length = (pos[edge_index[0]] - pos[edge_index[1]]).norm(dim=1).float()
    x = torch.from_numpy(rng.normal(size=(pos.size(0), 3))).float()
    data = Data(x=x, pos=pos.float(), edge_index=edge_index, edge_attr=length.unsqueeze(1))
    data.node_type = torch.zeros(pos.size(0), dtype=torch.uint8)
    return data


def by_other_hands(data, hand, rng):
    data, edges, length = data.clone(), data.edge_index, data.edge_attr
    half = edges.size(1) // 2
    if hand == "directed":
        data.edge_index, data.edge_attr = edges[:, :half], length[:half]
    elif hand == "repeated":
        data.edge_index, data.edge_attr = edges.repeat(1, 2), length.repeat(2, 1)
    elif hand == "loops":
        loops = torch.arange(data.num_nodes).repeat(2, 1)
        data.edge_index = torch.cat([edges, loops], dim=1)
        data.edge_attr = torch.cat([length, torch.zeros(data.num_nodes, 1)])
    elif hand == "int32":
        data.edge_index = edges.int()
    elif hand == "half":
        data.x = data.x.half()
    elif hand == "double":
        data.x, data.edge_attr, data.pos = data.x.double(), length.double(), data.pos.double()
    elif hand == "flat":
        data.edge_attr = length.view(-1)
    elif hand == "shuffled":
        order = torch.from_numpy(rng.permutation(edges.size(1)))
        data.edge_index, data.edge_attr = edges[:, order], length[order]
    elif hand == "doubled":
        data.edge_attr = 2 * length
    elif hand == "lost":
        data.edge_index, data.edge_attr = edges[:, 1:], length[1:]
    return data


@examples(0.15)
@given(graphs(), st.sampled_from(HANDS), st.sampled_from((5, 1000)))
def test_right_or_refused(graph, hand, cells_per_part):
    data = clean(*graph)
    wanted = make_model().embed(data, cells_per_part=cells_per_part)
    other = by_other_hands(data, hand, graph[2])
    before = other.clone()
    try:
        found = make_model().embed(other, cells_per_part=cells_per_part)
    except (ValueError, TypeError) as error:
        sentence(error)
        assert hand not in SAME, error
        refused["test_right_or_refused"] += 1
        return
    assert other.edge_index.dtype == before.edge_index.dtype and torch.equal(other.x, before.x)
    if data.edge_index.numel() == 0 and hand != "half":
        assert torch.allclose(found, wanted, atol=1e-5)
        return
    assert hand not in ("directed", "lost", "doubled") or bool((data.edge_attr == 0).all()) or (
        cells_per_part == 5
    ), "a wrong graph was taken"
    if hand == "half":
        assert torch.allclose(found, wanted, atol=0.1)
    elif hand in SAME:
        tolerance = 1e-5 * max(1.0, float(wanted.abs().max()))
        # METIS looks at edges in their order.
        assert cells_per_part == 5 or torch.allclose(found, wanted, atol=tolerance)


@examples(0.1)
@given(graphs(max_nodes=50), st.sampled_from((0.5, 1.0, 1.5, 3.0)))
def test_a_radius_graph_is_that_of_its_definition(graph, radius):
    pos = graph[0]
    data = SpatialRadiusGraph(radius)(Data(pos=pos, x=torch.zeros(len(pos), 1)))
    distance = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    near = distance <= radius * (1 + 1e-6)
    near.fill_diagonal_(False)
    dense = torch.zeros_like(near)
    dense[data.edge_index[0], data.edge_index[1]] = True
    assert torch.equal(dense, near) and data.edge_index.size(1) == int(near.sum())
    length = distance[data.edge_index[0], data.edge_index[1]]
    assert torch.allclose(data.edge_attr.view(-1).double(), length, rtol=1e-5, atol=1e-6)


@examples(0.12)
@given(
    st.lists(graphs(min_nodes=1, max_nodes=60), min_size=1, max_size=3),
    st.sampled_from(("metis", "grid")),
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(0, 2),
    st.booleans(),
)
def test_loaders_cover_each_cell_once(slices, method, cells_per_part, batch_size, virtual, shuffle):
    parts, offset = [], 0
    for pos, pairs, rng in slices:
        data = clean(pos, pairs, rng)
        data.row = offset + torch.arange(data.num_nodes)
        offset += data.num_nodes
        if virtual:
            data.x = torch.cat([data.x, torch.zeros(virtual, 3)])
            data.pos = torch.cat([data.pos, data.pos[:1].repeat(virtual, 1)])
            more = torch.full((virtual,), int(NodeType.VIRTUAL), dtype=torch.uint8)
            data.node_type = torch.cat([data.node_type, more])
            data.row = torch.cat([data.row, torch.full((virtual,), -1)])
        parts.append(SpatialClusterData(data, cells_per_part, method=method))
    loader = SubpatchLoader(parts, batch_size, shuffle=shuffle)
    for _ in range(2):
        seen, virtual_seen, graphs_seen = [], 0, 0
        for batch in loader:
            seen += batch.row[batch.row >= 0].tolist()
            virtual_seen += int((batch.row < 0).sum())
            graphs_seen += batch.num_graphs
        assert sorted(seen) == list(range(offset))
        assert virtual_seen == virtual * graphs_seen == virtual * sum(len(part) for part in parts)
