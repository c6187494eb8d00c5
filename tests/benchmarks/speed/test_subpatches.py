import pytest
import torch

from benchmarks.speed.subpatches import make_subpatches, random_pairs
from stofm_pyg.nn import NodeType


def test_density_and_degree():
    data = make_subpatches(1500, virtual_cells=0, channels=2)
    assert data.pos.min() >= 0 and data.pos.max() <= 1500**0.5
    # 50.3 neighbours inside, fewer at the border.
    assert 43 < data.edge_index.size(1) / 1500 < 50.3
    assert data.edge_attr.max() <= 4.0001


def test_edges_have_true_distances_and_virtual_cells_see_all():
    data = make_subpatches(40, virtual_cells=3, channels=5, batch_size=2)
    assert data.x.shape == (86, 5)
    source, target = data.edge_index
    expected = (data.pos[source] - data.pos[target]).norm(dim=1)
    torch.testing.assert_close(data.edge_attr.view(-1), expected, rtol=1e-4, atol=1e-5)

    edges = set(map(tuple, data.edge_index.t().tolist()))
    assert len(edges) == data.edge_index.size(1)
    assert all((b, a) in edges for a, b in edges)
    is_virtual = data.node_type == NodeType.VIRTUAL
    assert is_virtual.nonzero().view(-1).tolist() == [40, 41, 42, 83, 84, 85]
    degree = torch.bincount(source, minlength=86)
    assert (degree[is_virtual] == 42).all()


def test_the_seed_decides():
    a, b, c = (make_subpatches(20, 2, 3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.x, b.x) and torch.equal(a.edge_index, b.edge_index)
    assert not torch.equal(a.x, c.x)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pairs_stay_inside_a_subpatch(batch_size):
    data = make_subpatches(10, 2, 3, batch_size)
    source, target = random_pairs(data, 1000)
    assert torch.equal(data.batch[source], data.batch[target])
    assert set(data.batch[source].tolist()) == set(range(batch_size))
    assert len(set(source.tolist())) == data.num_nodes
