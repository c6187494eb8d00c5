import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.nn._undirected_edges import undirected_edges

# A path 0 - 1 - 2 and a pair 0 - 3.
EDGES = torch.tensor([[0, 1, 1, 2, 0, 3], [1, 0, 2, 1, 3, 0]])
DISTANCE = torch.tensor([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])


BATCH = torch.zeros(4, dtype=torch.long)


def take(edge_index, distance, batch=None):
    """The edges that are taken, and their distances."""
    if batch is None:
        batch = torch.zeros(int(edge_index.max()) + 1 if edge_index.numel() else 0, dtype=torch.long)
    numbers = undirected_edges(edge_index, distance, batch)
    assert numbers.shape == (edge_index.size(1) // 2,) and numbers.dtype == torch.long
    return edge_index[:, numbers], distance[numbers]


def as_dict(edge_index, distance):
    return dict(zip(map(tuple, edge_index.t().tolist()), distance.tolist(), strict=True))


def test_each_edge_once_with_the_smaller_node_first():
    assert undirected_edges(EDGES, DISTANCE, BATCH).tolist() == [0, 2, 4]
    edge_index, distance = take(EDGES, DISTANCE)
    assert edge_index.tolist() == [[0, 1, 0], [1, 2, 3]]
    assert distance.tolist() == [1.0, 2.0, 3.0]


@given(st.permutations(range(6)))
def test_order_of_the_edges_does_not_matter(order):
    edge_index, distance = take(EDGES[:, order], DISTANCE[order])
    assert as_dict(edge_index, distance) == {(0, 1): 1.0, (1, 2): 2.0, (0, 3): 3.0}


@pytest.mark.parametrize(
    ("loops", "kept"), [([2], []), ([2, 0], [2]), ([1, 2, 0], [1]), ([3, 3, 1, 0], [3, 3])]
)
def test_half_of_the_self_loops_are_at_the_end(loops, kept):
    # Among the other edges, not behind them.
    loop_edges = torch.tensor([loops, loops])
    edge_index = torch.cat([EDGES[:, :3], loop_edges, EDGES[:, 3:]], dim=1)
    distance = torch.cat([DISTANCE[:3], torch.full((len(loops),), 5.0), DISTANCE[3:]])
    edge_index, distance = take(edge_index, distance)
    assert edge_index.tolist() == [[0, 1, 0, *kept], [1, 2, 3, *kept]]
    assert distance.tolist() == [1.0, 2.0, 3.0, *(5.0 for _ in kept)]


def test_self_loops_alone():
    edge_index = torch.tensor([[1, 0, 1], [1, 0, 1]])
    assert take(edge_index, torch.zeros(3))[0].tolist() == [[1], [1]]


def test_no_edges():
    assert undirected_edges(EDGES[:, :0], DISTANCE[:0], BATCH).shape == (0,)
    assert undirected_edges(EDGES[:, :0], DISTANCE[:0], BATCH[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_takes_distances_of_any_type(dtype):
    assert undirected_edges(EDGES, DISTANCE.to(dtype), BATCH).tolist() == [0, 2, 4]


@pytest.mark.parametrize("batch", [[0, 0, 0, 0], [7, 7, 7, 7], [0, 0, 0, 0, 1, 3]])
def test_subpatches(batch):
    assert undirected_edges(EDGES, DISTANCE, torch.tensor(batch)).tolist() == [0, 2, 4]


@pytest.mark.parametrize("edge", range(6))
def test_a_missing_reverse(edge):
    keep = torch.arange(6) != edge
    up, down = (3, 2) if edge % 2 else (2, 3)
    with pytest.raises(ValueError) as error:
        undirected_edges(EDGES[:, keep], DISTANCE[keep], BATCH)
    assert str(error.value) == (
        f"The graph must be undirected, every edge with a reverse of the same distance (got {up} "
        f"edges to a later node and {down} to an earlier one); apply "
        f"'torch_geometric.transforms.ToUndirected(reduce=\"min\")', which without 'reduce' doubles "
        f"distances, or build it with 'SpatialRadiusGraph'"
    )


def test_as_many_edges_each_way_but_others():
    with pytest.raises(ValueError, match="must be undirected"):
        undirected_edges(torch.tensor([[0, 2], [1, 0]]), torch.ones(2), BATCH)


@pytest.mark.parametrize("edge", range(6))
@pytest.mark.parametrize("change", [1e-3, 0.5, -1.0, 1e6])
def test_a_reverse_of_another_distance(edge, change):
    distance = DISTANCE.clone()
    distance[edge] += change
    with pytest.raises(ValueError, match="reverse of the same distance"):
        undirected_edges(EDGES, distance, BATCH)


def test_distances_that_changed_places():
    distance = DISTANCE[[0, 3, 2, 1, 4, 5]]
    with pytest.raises(ValueError, match="reverse of the same distance"):
        undirected_edges(EDGES, distance, BATCH)


def test_zero_is_zero():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    assert take(edge_index, torch.tensor([0.0, -0.0]))[1].tolist() == [0.0]


def test_distances_may_differ_by_rounding():
    # torch.cdist, for one, is symmetric up to rounding only; so are the official distances.
    distance = DISTANCE.clone()
    distance[1::2] = torch.nextafter(distance[1::2], torch.tensor(10.0))
    assert take(EDGES, distance)[1].tolist() == [1.0, 2.0, 3.0]


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
    batch = torch.zeros(num_nodes, dtype=torch.long)
    assert as_dict(*take(edge_index, both, batch)) == expected

    with pytest.raises(ValueError, match="must be undirected"):
        undirected_edges(edge_index[:, 1:], both[1:], batch)
    both[0] += 0.01
    with pytest.raises(ValueError, match="same distance"):
        undirected_edges(edge_index, both, batch)


@pytest.mark.parametrize("distance", [-1e-6, -2.0, float("nan"), float("inf"), -float("inf")])
def test_a_distance_that_is_none(distance):
    distances = DISTANCE.clone()
    distances[2:4] = distance
    with pytest.raises(ValueError) as error:
        undirected_edges(EDGES, distances, BATCH)
    shown = float(torch.tensor(distance))
    assert str(error.value) == (
        f"Distances must be finite and not negative (got {shown} along the edge [1, 2]; 2 of 6 are like "
        f"this); check 'pos' for missing values and build the graph again with 'SpatialRadiusGraph'"
    )


def test_a_distance_that_is_none_on_a_self_loop():
    edge_index = torch.cat([EDGES, torch.tensor([[2], [2]])], dim=1)
    distance = torch.cat([DISTANCE, torch.tensor([float("nan")])])
    with pytest.raises(ValueError, match=r"got nan along the edge \[2, 2\]; 1 of 7"):
        undirected_edges(edge_index, distance, BATCH)


@pytest.mark.parametrize("batch", [[0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 2, 3]])
def test_an_edge_across_subpatches(batch):
    across = [(0, 3)] if batch == [0, 0, 0, 1] else [(0, 1), (0, 3)]
    across += [(1, 2)] if batch == [0, 1, 2, 3] else []
    with pytest.raises(ValueError) as error:
        undirected_edges(EDGES, DISTANCE, torch.tensor(batch))
    first = next(edge for edge in EDGES.t().tolist() if tuple(sorted(edge)) in across)
    assert str(error.value) == (
        f"The edge {first} joins nodes of two different subpatches ({2 * len(across)} edges do); remove "
        f"such edges first"
    )


@pytest.mark.parametrize("batch", [[0, 0, 1, 0], [1, 1, 0, 0], [3, 2, 1, 0]])
def test_subpatches_out_of_order(batch):
    for edges in (EDGES, EDGES[:, :0]):
        with pytest.raises(ValueError, match="'batch' must be sorted.*sort the nodes by it first"):
            undirected_edges(edges, DISTANCE[: edges.size(1)], torch.tensor(batch))


@pytest.mark.parametrize(
    ("node", "message"), [(4, "from 0 to 4"), (-1, "from -1 to 3"), (10**9, "from 0 to 1000000000")]
)
@pytest.mark.parametrize("batch", [[0, 0, 0, 0], [0, 0, 0, 1]])
def test_a_node_that_does_not_exist(node, message, batch):
    edge_index = torch.cat([EDGES, torch.tensor([[0, node], [node, 0]])], dim=1)
    distance = torch.cat([DISTANCE, torch.ones(2)])
    with pytest.raises(ValueError, match=f"names nodes {message}, but there are 4; take edges and"):
        undirected_edges(edge_index, distance, torch.tensor(batch))


@pytest.mark.parametrize("num_loops", [0, 1, 2])
def test_is_an_operator(num_loops):
    loops = torch.arange(num_loops).expand(2, -1)
    arguments = torch.cat([EDGES, loops], dim=1), torch.cat([DISTANCE, torch.zeros(num_loops)]), BATCH
    torch.library.opcheck(undirected_edges, arguments)
    with torch._subclasses.FakeTensorMode() as mode:
        out = undirected_edges(*(mode.from_tensor(argument) for argument in arguments))
    assert out.shape == (3 + num_loops // 2,) and out.dtype == torch.long


def test_has_no_gradient():
    assert not undirected_edges(EDGES, DISTANCE.clone().requires_grad_(), BATCH).requires_grad
