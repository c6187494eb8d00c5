import pytest
import torch

from stofm_pyg.nn import PairRepresentation

INF = float("inf")


@pytest.fixture
def pair():
    """Two heads; a subpatch of the nodes 0 - 1 - 2 with CLS 3, and one of the nodes 4 - 5."""
    return PairRepresentation(
        edge_index=torch.tensor([[0, 1, 4], [1, 2, 5]]),
        edge_bias=torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]),
        far=torch.tensor([-5.0, -50.0]),
        num_nodes=6,
        batch=torch.tensor([0, 0, 0, 0, 1, 1]),
        node_type=torch.tensor([0, 0, 2, 1, 0, 0]),
    )


def with_layers(pair, *channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for size in channels:
        shape = (pair.num_nodes, pair.heads, size)
        query, key = torch.randn(2, *shape, generator=generator)
        pair.append(query, key)
    return pair


FIRST = [[0.0, 1.0, -5.0, 0.0], [1.0, 0.0, 2.0, 0.0], [-5.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_dense_bias(pair):
    bias = pair.dense_bias()
    assert bias.shape == (2, 2, 4, 4)
    assert bias[0, 0].tolist() == FIRST
    assert bias[1, 0].tolist() == [[10 * value for value in row] for row in FIRST]
    assert bias[0, 1, :2, :2].tolist() == [[0.0, 3.0], [3.0, 0.0]]
    assert (bias[:, 1, :, 2:] == -INF).all()


def test_dense_before_any_layer(pair):
    dense = pair.dense()
    assert dense.shape == (2, 4, 4, 2)
    assert dense[0, :, :, 0].tolist() == FIRST
    padded = torch.ones(4, 4, dtype=torch.bool)
    padded[:2, :2] = False
    assert (dense[1][padded] == 0).all()


def test_equal_sizes_are_not_padded():
    pair = PairRepresentation(
        torch.tensor([[0], [1]]), torch.tensor([[1.0]]), torch.tensor([-5.0]), 4,
        torch.tensor([0, 0, 1, 1]),
    )  # fmt: skip
    assert not pair.is_ragged
    assert pair.dense_bias()[0].tolist() == [[[0, 1], [1, 0]], [[0, -5], [-5, 0]]]


def test_without_batch_and_types_all_nodes_are_cells_of_one_subpatch():
    edge_index, bias = torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1.0], [2.0]])
    pair = PairRepresentation(edge_index, bias, torch.tensor([-5.0]), 3)
    assert pair.dense()[0, :, :, 0].tolist() == [[0, 1, -5], [1, 0, 2], [-5, 2, 0]]


def test_layers_add_up(pair):
    expected = pair.dense()
    with_layers(pair, 3, 3)
    assert pair.num_layers == 2
    for query, key in zip(pair.queries, pair.keys, strict=True):
        for graph, nodes in enumerate(([0, 1, 2, 3], [4, 5])):
            for row, i in enumerate(nodes):
                for col, j in enumerate(nodes):
                    product = (query[i] * key[j]).sum(dim=-1) / 3**0.5
                    expected[graph, row, col] += product
    assert torch.allclose(pair.dense(), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [(), (3,), (3, 3)])
def test_pairs_are_entries_of_dense(pair, channels):
    with_layers(pair, *channels)
    dense = pair.dense()
    # An edge both ways, a pair without an edge, the diagonal, and CLS both ways and on the diagonal.
    inside = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 1), (3, 0), (2, 3), (3, 3)]
    index = torch.tensor([*inside, (4, 5), (5, 4), (5, 5)]).t()
    expected = [dense[0, target, source] for source, target in inside]
    expected += [dense[1, 1, 0], dense[1, 0, 1], dense[1, 1, 1]]
    assert torch.allclose(pair.pairs(index), torch.stack(expected), atol=1e-5)


def test_all_pairs(pair):
    expected = [(j, i) for i in range(4) for j in range(4)] + [(4, 4), (5, 4), (4, 5), (5, 5)]
    assert pair.all_pairs().t().tolist() == [list(entry) for entry in expected]
    dense = with_layers(pair, 2).dense()
    entries = torch.cat([dense[0].reshape(-1, 2), dense[1, :2, :2].reshape(-1, 2)])
    assert torch.allclose(pair.pairs(pair.all_pairs()), entries, atol=1e-6)


def test_layers_of_unlike_width_are_each_scaled_by_their_own(pair):
    with_layers(pair, 4, 1)
    expected = pair.dense_bias()[0, 1, 0, 1]
    for query, key in zip(pair.queries, pair.keys, strict=True):
        expected = expected + (query[4, 0] * key[5, 0]).sum() / query.size(-1) ** 0.5
    assert torch.allclose(pair.dense()[1, 0, 1, 0], expected, atol=1e-6)
    assert torch.allclose(pair.pairs(torch.tensor([[5], [4]]))[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("index", [[[0], [4]], [[5], [2]], [[0, 3, 1], [1, 4, 0]]])
def test_pairs_across_subpatches(pair, index):
    with pytest.raises(ValueError, match="two different subpatches.*inside one subpatch only"):
        pair.pairs(torch.tensor(index))


def test_no_pairs(pair):
    assert with_layers(pair, 2).pairs(torch.empty(2, 0, dtype=torch.long)).shape == (0, 2)


def test_pad_and_unpad(pair):
    values = torch.arange(6 * 2 * 3, dtype=torch.float32).view(6, 2, 3)
    padded = pair.pad(values)
    assert padded.shape == (2, 2, 4, 3)
    assert torch.equal(padded[:, 0], values[:4].transpose(0, 1))
    assert torch.equal(padded[:, 1, :2], values[4:].transpose(0, 1))
    assert (padded[:, 1, 2:] == 0).all()
    assert torch.equal(pair.unpad(padded), values)


def test_gradients_of_pairs_and_dense_agree(pair):
    with_layers(pair, 3)
    leaves = [pair.edge_bias, pair.far, pair.queries[0], pair.keys[0]]
    for leaf in leaves:
        leaf.requires_grad_()
    index = pair.all_pairs()
    weight = torch.randn(index.size(1), 2, generator=torch.Generator().manual_seed(1))
    dense = pair.dense()
    entries = torch.cat([dense[0].reshape(-1, 2), dense[1, :2, :2].reshape(-1, 2)])
    expected = torch.autograd.grad((entries * weight).sum(), leaves)
    actual = torch.autograd.grad((pair.pairs(index) * weight).sum(), leaves)
    for ours, theirs in zip(actual, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5) and ours.abs().max() > 0


def test_a_subpatch_without_nodes():
    batch = torch.tensor([0, 0, 2])
    pair = PairRepresentation(
        torch.tensor([[0], [1]]), torch.tensor([[1.0]]), torch.tensor([-5.0]), 3, batch
    )
    assert pair.num_subpatches == 3 and (pair.dense()[1] == 0).all()
    assert pair.all_pairs().t().tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [2, 2]]


def test_repr(pair):
    assert repr(pair) == "PairRepresentation(num_nodes=6, heads=2, num_layers=0)"
    assert repr(with_layers(pair, 3)) == "PairRepresentation(num_nodes=6, heads=2, num_layers=1)"
