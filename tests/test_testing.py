import copy

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import degree, scatter

from stofm_pyg.testing import SYMMETRIES, assert_invariant, measure_edges, permute_nodes
from stofm_pyg.transforms import SpatialRadiusGraph
from tests.random_batch import random_batch


@pytest.fixture
def data():
    data = random_batch(sizes=(14,), special=())
    data.batch = None
    return data


def distances(data):
    """The sum of distances to neighbours, and of their features weighted by distance."""
    source, target = data.edge_index
    values = torch.cat([data.edge_attr, data.edge_attr * data.x[source]], dim=1)
    return scatter(values, target, dim=0, dim_size=data.num_nodes)


def test_distances_are_invariant(data):
    assert_invariant(distances, data)


def test_data_is_not_changed(data):
    before = copy.deepcopy(data)
    assert_invariant(distances, data)
    assert set(data.keys()) == set(before.keys())
    assert all(torch.equal(data[key], before[key]) for key in data.keys())


def first_coordinate(data):
    return data.pos[:, :1]


def size_of_batch(data):
    return distances(data) / data.num_nodes


def place_in_order(data):
    return torch.arange(data.num_nodes, dtype=torch.float32).unsqueeze(-1)


def handedness(data):
    """The sum of the cross products of a node's edges with those from the centre: it knows left."""
    source, target = data.edge_index
    centre = data.pos.mean(dim=0)
    a, b = data.pos[source] - data.pos[target], data.pos[target] - centre
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return scatter(cross, target, dim=0, dim_size=data.num_nodes).unsqueeze(-1).float()


def distance_to_origin(data):
    return data.pos.norm(dim=1, keepdim=True)


def direction(data):
    return (data.pos - data.pos.mean(dim=0))[:, :1]


@pytest.mark.parametrize(
    ("function", "broken", "held"),
    [
        (first_coordinate, {"rotation", "translation", "reflection"}, {"permutation", "batching"}),
        (direction, {"rotation", "reflection"}, {"translation", "permutation"}),
        (distance_to_origin, {"translation"}, set(SYMMETRIES) - {"translation"}),
        (handedness, {"reflection"}, {"rotation", "translation", "permutation"}),
        (place_in_order, {"permutation", "batching"}, {"rotation", "translation", "reflection"}),
        (size_of_batch, {"batching"}, set(SYMMETRIES) - {"batching"}),
    ],
)
def test_finds_the_broken_symmetries_and_no_others(data, function, broken, held):
    assert_invariant(function, data, symmetries=tuple(held))
    for symmetry in broken:
        message = rf"^{symmetry}.*: differs by .* of the largest value .*, at node \d+; allowed is"
        with pytest.raises(AssertionError, match=message):
            assert_invariant(function, data, symmetries=(symmetry,))


def test_message(data):
    def function(data):
        out = distances(data)
        out[5] += float(data.pos[0, 0] < 0)
        return out

    data.pos = data.pos - data.pos[0] + torch.tensor([1.0, 0.0])
    with pytest.raises(AssertionError) as error:
        assert_invariant(function, data, symmetries=("reflection",), tolerance=1e-3)
    scale = float(distances(data).abs().max())
    assert str(error.value) == (
        f"reflection: differs by {1 / scale:.2e} of the largest value ({scale:.3g}), at node 5; "
        f"allowed is 1e-03"
    )


def test_tolerance(data):
    def function(data):
        return distances(data) * (1 + 1e-3 * (data.num_nodes > 14))

    assert_invariant(function, data, tolerance=1e-2)
    with pytest.raises(AssertionError, match="batching"):
        assert_invariant(function, data, tolerance=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite(data, bad):
    def function(data):
        return torch.where(data.pos[:, :1] > data.pos[0, 0] + 10, bad, distances(data))

    with pytest.raises(AssertionError, match="rotation"):
        assert_invariant(function, data, symmetries=("rotation",))


def test_another_shape(data):
    def function(data):
        return data.x[int(data.pos[0, 0] < 0) :]

    data.pos = data.pos - data.pos[0] + torch.tensor([1.0, 0.0])
    with pytest.raises(AssertionError, match=r"reflection: shape \[13, 5\], not \[14, 5\]"):
        assert_invariant(function, data, symmetries=("reflection",))


def test_builds_the_graph_anew(data):
    def number_of_neighbours(data):
        return degree(data.edge_index[0], data.num_nodes).unsqueeze(-1)

    graph = SpatialRadiusGraph(1.2)
    built = []

    def build(data):
        built.append(data)
        return graph(data)

    assert_invariant(number_of_neighbours, graph(data), graph=build)
    assert len(built) == 5  # Three rotations, a translation and a reflection.

    def squares(data):
        # A graph of the Chebyshev distance turns with the slice.
        near = (data.pos.unsqueeze(0) - data.pos.unsqueeze(1)).abs().amax(dim=-1) < 0.8
        data.edge_index = near.fill_diagonal_(False).nonzero().t()
        data.edge_attr = None
        return data

    with pytest.raises(AssertionError, match="rotation"):
        assert_invariant(number_of_neighbours, squares(data.clone()), graph=squares)


def test_a_seed_gives_the_same_angles(data):
    messages = []
    for seed in (0, 0, 1):
        with pytest.raises(AssertionError) as error:
            assert_invariant(first_coordinate, data, symmetries=("rotation",), seed=seed)
        messages.append(str(error.value))
    assert messages[0] == messages[1] != messages[2]


def test_the_global_seed_is_left_alone(data):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert_invariant(distances, data)
    assert torch.equal(torch.rand(3), expected)


def test_unknown_symmetry(data):
    with pytest.raises(ValueError, match=r"Unknown symmetries \['scaling'\]; known: rotation, "):
        assert_invariant(distances, data, symmetries=("rotation", "scaling"))


def test_cls_has_no_distance():
    # The edges of CLS stand at distance zero, wherever its position is.
    data = random_batch(sizes=(8,), special=(1,))
    assert_invariant(distances, data)


def test_measure_edges():
    data = Data(
        pos=torch.tensor([[0.0, 0.0], [3.0, 4.0]]),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        edge_attr=torch.zeros(2, 1),
    )
    assert measure_edges(data) is data
    assert data.edge_attr.tolist() == [[5.0], [5.0]] and data.edge_attr.dtype == torch.float32
    assert measure_edges(Data(pos=data.pos)).edge_attr is None


def test_permute_nodes():
    data = Data(
        x=torch.tensor([[0.0], [1.0], [2.0]]),
        pos=torch.zeros(3, 2),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        edge_attr=torch.tensor([[5.0], [6.0]]),
    )
    out = permute_nodes(data, torch.tensor([2, 0, 1]))
    assert out.x.tolist() == [[2.0], [0.0], [1.0]]
    assert out.edge_index.tolist() == [[1, 2], [2, 0]]
    assert out.edge_attr.tolist() == [[5.0], [6.0]]
    assert data.x.tolist() == [[0.0], [1.0], [2.0]]
