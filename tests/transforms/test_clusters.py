import random

import igraph
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from stofm_pyg.transforms import clusters
from stofm_pyg.transforms.clusters import METHODS, leiden, neighbor_graph


def naive_edges(square_distance, num_neighbors):
    """Each point with its nearest others, ties by order, without directions."""
    edges = set()
    for i, row in enumerate(square_distance):
        order = sorted((float(value), j) for j, value in enumerate(row) if j != i)
        edges |= {tuple(sorted((i, j))) for _, j in order[:num_neighbors]}
    return sorted(edges)


def hexagons(lattice, rows, columns):
    pos = lattice(rows, columns)
    pos[:, 1] += 0.5 * (pos[:, 0] % 2)
    pos[:, 0] *= 0.75**0.5
    return pos


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 15))
def test_neighbors_of_random_points(make_slice, seed, num_points, num_neighbors):
    points = make_slice(num_points, num_features=3, seed=seed).x
    square = (points.double().unsqueeze(0) - points.double().unsqueeze(1)).square().sum(-1)
    graph = neighbor_graph(points, num_neighbors)
    assert graph.vcount() == num_points and not graph.is_directed()
    assert graph.get_edgelist() == naive_edges(square, num_neighbors)


@pytest.mark.parametrize("num_neighbors", [4, 5, 10, 15])
def test_ties_on_a_lattice_go_by_order(lattice, num_neighbors):
    pos = lattice(9, 11)
    square = (pos.unsqueeze(0) - pos.unsqueeze(1)).square().sum(-1)
    expected = naive_edges(square, num_neighbors)
    assert neighbor_graph(pos, num_neighbors).get_edgelist() == expected


@pytest.mark.parametrize("num_neighbors", [4, 6, 10, 15])
@pytest.mark.parametrize("shape", ["squares", "hexagons"])
def test_turning_a_lattice_changes_nothing(lattice, turn, shape, num_neighbors):
    pos = lattice(20, 20) if shape == "squares" else hexagons(lattice, 20, 20)
    expected = neighbor_graph(pos, num_neighbors).get_edgelist()
    for degrees in (17.0, 45.0, 120.0):
        turned = turn(pos, degrees) + 3.0
        assert neighbor_graph(turned, num_neighbors).get_edgelist() == expected


def test_coincident_points():
    # Each has two others at its own place and needs no further neighbour.
    points = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]]).repeat(3, 1)
    expected = [(i, j) for i in range(9) for j in range(i + 1, 9) if (j - i) % 3 == 0]
    assert neighbor_graph(points, 2).get_edgelist() == expected


def test_a_crowd_in_one_place(make_slice):
    points = make_slice(40).pos
    crowd = torch.full((60, 2), 100.0, dtype=torch.float64)
    edges = neighbor_graph(torch.cat([points, crowd]), 4).get_edgelist()
    square = (points.unsqueeze(0) - points.unsqueeze(1)).square().sum(-1)
    assert [edge for edge in edges if edge[0] < 40] == naive_edges(square, 4)


def test_all_points_coincide():
    graph = neighbor_graph(torch.ones(30, 3), 4)
    assert graph.vcount() == 30 and min(graph.degree()) >= 4


def test_more_neighbors_than_points():
    graph = neighbor_graph(torch.tensor([[0.0], [1.0], [5.0]]), 10)
    assert graph.get_edgelist() == [(0, 1), (0, 2), (1, 2)]


def ring_of_cliques(num_cliques, size):
    edges = [
        (c * size + i, c * size + j)
        for c in range(num_cliques)
        for i in range(size)
        for j in range(i + 1, size)
    ]
    edges += [(c * size, (c + 1) % num_cliques * size + 1) for c in range(num_cliques)]
    return igraph.Graph(n=num_cliques * size, edges=edges)


@pytest.mark.parametrize("method", METHODS)
def test_cliques_are_found(method):
    cluster = leiden(ring_of_cliques(6, 8), 1.0, method, seed=0)
    assert cluster.dtype == torch.int64
    groups = [cluster[8 * c : 8 * c + 8].unique().tolist() for c in range(6)]
    assert all(len(group) == 1 for group in groups)
    assert sorted(group[0] for group in groups) == list(range(6))


@pytest.mark.parametrize("method", METHODS)
def test_resolution(method):
    graph = ring_of_cliques(6, 8)
    assert int(leiden(graph, 1e-3, method, seed=0).max()) == 0
    assert int(leiden(graph, 200.0, method, seed=0).max()) == 47


@pytest.mark.parametrize("method", METHODS)
def test_seed_decides(make_slice, method):
    graph = neighbor_graph(make_slice(400).pos, 8)
    clusters = [leiden(graph, 5.0, method, seed) for seed in (0, 0, 1, 2, 3)]
    assert torch.equal(clusters[0], clusters[1])
    assert any(not torch.equal(clusters[0], other) for other in clusters[2:])


@pytest.mark.parametrize("method", METHODS)
def test_global_random_numbers_are_left_alone(make_slice, method):
    graph = neighbor_graph(make_slice(100).pos, 8)
    random.seed(7)
    expected = igraph.Graph.Erdos_Renyi(n=30, m=60).get_edgelist()
    random.seed(7)
    state = random.getstate()
    first = leiden(graph, 1.0, method, seed=0)
    assert random.getstate() == state
    # igraph still draws from Python's own generator, and Leiden does not care what that holds.
    assert igraph.Graph.Erdos_Renyi(n=30, m=60).get_edgelist() == expected
    assert torch.equal(leiden(graph, 1.0, method, seed=0), first)


def heaps(num_points=1500, num_heaps=12, seed=0):
    """Heaps that overlap a little, in four dimensions as cells are clustered."""
    generator = torch.Generator().manual_seed(seed)
    centre = 4 * torch.rand(num_heaps, 4, generator=generator, dtype=torch.float64)
    heap = torch.randint(num_heaps, (num_points,), generator=generator)
    return centre[heap] + 0.3 * torch.randn(num_points, 4, generator=generator, dtype=torch.float64)


def test_fewer_iterations_on_large_graphs_find_the_same_clusters(monkeypatch):
    asked, real = [], igraph.Graph.community_leiden

    def community_leiden(graph, **kwargs):
        asked.append(kwargs["n_iterations"])
        return real(graph, **kwargs)

    monkeypatch.setattr(igraph.Graph, "community_leiden", community_leiden)
    graph = neighbor_graph(heaps(), 10)
    many = leiden(graph, 1.0, "igraph", seed=0)
    monkeypatch.setattr(clusters, "LARGE", graph.vcount() - 1)
    few = leiden(graph, 1.0, "igraph", seed=0)
    assert asked == [clusters.ITERATIONS, clusters.FEW_ITERATIONS]
    before, after = (graph.modularity(found.tolist()) for found in (many, few))
    assert after > 0.99 * before > 0.5
    assert adjusted_rand_score(many, few) > 0.9
