import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.nn.undirected_edges import undirected_edges

# A path 0 - 1 - 2 and a pair 0 - 3.
EDGES = torch.tensor([[0, 1, 1, 2, 0, 3], [1, 0, 2, 1, 3, 0]])
DISTANCE = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])


def as_dict(edge_index, distance):
    return dict(zip(map(tuple, edge_index.t().tolist()), distance.tolist(), strict=True))


def test_each_edge_once_with_the_smaller_node_first():
    edge_index, distance = undirected_edges(EDGES, DISTANCE)
    assert edge_index.tolist() == [[0, 1, 0], [1, 2, 3]]
    assert distance.tolist() == [1.0, 2.0, 3.0]


@given(st.permutations(range(6)))
def test_order_of_the_edges_does_not_matter(order):
    edge_index, distance = undirected_edges(EDGES[:, order], DISTANCE[order])
    assert as_dict(edge_index, distance) == {(0, 1): 1.0, (1, 2): 2.0, (0, 3): 3.0}


def test_self_loops_are_left_out():
    edge_index = torch.cat([EDGES, torch.tensor([[2], [2]])], dim=1)
    distance = torch.cat([DISTANCE, torch.tensor([0.0])])
    assert undirected_edges(edge_index, distance)[0].tolist() == [[0, 1, 0], [1, 2, 3]]


def test_no_edges():
    edge_index, distance = undirected_edges(EDGES[:, :0], DISTANCE[:0])
    assert edge_index.shape == (2, 0) and distance.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_keeps_type_and_gradient(dtype):
    distance = DISTANCE.clone().to(dtype).requires_grad_()
    out = undirected_edges(EDGES, distance)[1]
    out.sum().backward()
    assert out.dtype == dtype
    assert distance.grad.tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("edge", range(6))
def test_a_missing_reverse(edge):
    keep = torch.arange(6) != edge
    up, down = (3, 2) if edge % 2 else (2, 3)
    with pytest.raises(ValueError) as error:
        undirected_edges(EDGES[:, keep], DISTANCE[keep])
    assert str(error.value) == (
        f"The graph must be undirected, every edge with a reverse of the same distance (got {up} "
        f"edges to a later node and {down} to an earlier one); apply "
        f"'torch_geometric.transforms.ToUndirected' or build it with 'SpatialRadiusGraph'"
    )


def test_as_many_edges_each_way_but_others():
    with pytest.raises(ValueError, match="must be undirected"):
        undirected_edges(torch.tensor([[0, 2], [1, 0]]), torch.ones(2))


@pytest.mark.parametrize("edge", range(6))
@pytest.mark.parametrize("change", [1e-3, 0.5, -1.0])
def test_a_reverse_of_another_distance(edge, change):
    distance = DISTANCE.clone()
    distance[edge] += change
    with pytest.raises(ValueError, match="reverse of the same distance"):
        undirected_edges(EDGES, distance)


def test_distances_that_changed_places():
    distance = DISTANCE[[0, 3, 2, 1, 4, 5]]
    with pytest.raises(ValueError, match="reverse of the same distance"):
        undirected_edges(EDGES, distance)


def test_zero_is_zero():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    assert undirected_edges(edge_index, torch.tensor([0.0, -0.0]))[1].tolist() == [0.0]


def test_distances_may_differ_by_rounding():
    # torch.cdist, for one, is symmetric up to rounding only; so are the official distances.
    distance = DISTANCE.clone()
    distance[1::2] = torch.nextafter(distance[1::2], torch.tensor(10.0))
    assert undirected_edges(EDGES, distance)[1].tolist() == [1.0, 2.0, 3.0]


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 60))
def test_any_undirected_graph_is_taken_and_any_broken_one_refused(seed, num_nodes, num_edges):
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.triu_indices(num_nodes, num_nodes, 1)
    chosen = torch.randperm(low.numel(), generator=generator)[:num_edges]
    low, high = low[chosen], high[chosen]
    distance = torch.rand(low.numel(), generator=generator)
    edge_index = torch.stack([torch.cat([low, high]), torch.cat([high, low])])
    both = distance.repeat(2)
    order = torch.randperm(both.numel(), generator=generator)
    edge_index, both = edge_index[:, order], both[order]

    expected = as_dict(torch.stack([low, high]), distance)
    assert as_dict(*undirected_edges(edge_index, both)) == expected

    with pytest.raises(ValueError, match="must be undirected"):
        undirected_edges(edge_index[:, 1:], both[1:])
    both[0] += 0.01
    with pytest.raises(ValueError, match="same distance"):
        undirected_edges(edge_index, both)
