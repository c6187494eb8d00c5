import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from benchmarks.clusters import embedding_graph, leiden_of_number, nearest_rows, stable_leiden


def blobs(number, size=40, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(number), size)
    centers = 10 * np.stack([np.cos(truth * 2 * np.pi / number), np.sin(truth * 2 * np.pi / number)], 1)
    return centers + spread * rng.normal(size=(len(truth), 2)), truth


def test_nearest_rows():
    x = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert nearest_rows(x, 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert nearest_rows(x, 9).shape == (4, 3)
    assert nearest_rows(np.array([[2.9], [-5.0]]), 1, among=x).tolist() == [[2], [0]]


def test_the_graph_joins_neighbours_once():
    graph = embedding_graph(np.array([[0.0], [1.0], [10.0], [11.0]]), 1)
    assert sorted(graph.get_edgelist()) == [(0, 1), (2, 3)]


@pytest.mark.parametrize("number", [2, 3, 5])
def test_as_many_clusters_as_asked_for(number):
    x, truth = blobs(6)
    found = leiden_of_number(embedding_graph(x), number, seed=0)
    # Groups that no edge joins are never one cluster.
    assert found.max() + 1 == 6 and adjusted_rand_score(truth, found) == 1.0
    x, _ = blobs(1, size=200, spread=1.0)
    found = leiden_of_number(embedding_graph(x), number, seed=0)
    assert found.max() + 1 == number and len(np.unique(found)) == number


def test_the_stable_number_is_that_of_the_groups():
    x, truth = blobs(4, size=60, spread=2.0)
    stable = stable_leiden(embedding_graph(x), seed=0)
    assert adjusted_rand_score(truth, stable.clusters) > 0.95 and stable.agreement > 0.95
    again = stable_leiden(embedding_graph(x), seed=0)
    assert (again.clusters == stable.clusters).all()


def test_what_nothing_divides_is_one_cluster():
    stable = stable_leiden(embedding_graph(np.random.default_rng(0).normal(size=(6, 2))), seed=0)
    assert stable.clusters.tolist() == [0] * 6 and stable.agreement == 1.0
