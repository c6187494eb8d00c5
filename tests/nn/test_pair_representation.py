import pytest
import torch

from stofm_pyg.nn import NodeType, PairRepresentation
from tests.nn.attention_case import cut_blocks, logits_by_pairs, random_layers, random_pair, valid_nodes


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
        shape = (pair.heads, pair.num_nodes, size)
        query, key = torch.randn(2, *shape, generator=generator)
        pair.append(query, key)
    return pair


FIRST = [[0.0, 1.0, -5.0, 0.0], [1.0, 0.0, 2.0, 0.0], [-5.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_dense_before_any_layer(pair):
    dense = pair.dense()
    assert dense.shape == (2, 4, 4, 2)
    assert dense[0, :, :, 0].tolist() == FIRST
    assert dense[0, :, :, 1].tolist() == [[10 * value for value in row] for row in FIRST]
    assert dense[1, :2, :2, 0].tolist() == [[0.0, 3.0], [3.0, 0.0]]
    padded = torch.ones(4, 4, dtype=torch.bool)
    padded[:2, :2] = False
    assert (dense[1][padded] == 0).all()


def test_equal_sizes_are_not_padded():
    pair = PairRepresentation(
        torch.tensor([[0], [1]]), torch.tensor([[1.0]]), torch.tensor([-5.0]), 4,
        torch.tensor([0, 0, 1, 1]),
    )  # fmt: skip
    assert pair.sizes == [2, 2]
    assert pair.dense()[..., 0].tolist() == [[[0, 1], [1, 0]], [[0, -5], [-5, 0]]]


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
                    product = (query[:, i] * key[:, j]).sum(dim=-1)
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


def test_layers_of_unlike_width(pair):
    with_layers(pair, 4, 1)
    expected = torch.tensor(3.0)
    for query, key in zip(pair.queries, pair.keys, strict=True):
        expected = expected + (query[0, 4] * key[0, 5]).sum()
    assert torch.allclose(pair.dense()[1, 0, 1, 0], expected, atol=1e-6)
    assert torch.allclose(pair.pairs(torch.tensor([[5], [4]]))[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("channels", [(), (3,), (3, 5)])
def test_rows_are_rows_of_dense(pair, channels):
    with_layers(pair, *channels)
    dense = pair.dense()
    for nodes in ([0], [2, 0], [3, 3, 1], [0, 1, 2, 3]):
        rows = pair.rows(torch.tensor(nodes))
        assert rows.shape == (len(nodes), 4, 2)
        assert torch.allclose(rows, dense[0, nodes], atol=1e-6)
    assert torch.allclose(pair.rows(torch.tensor([5, 4])), dense[1, [1, 0], :2], atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [([0, 4], r"2 nodes of the subpatches \[0, 1\]"), ([], r"0 nodes of the subpatches \[\]")],
)
def test_rows_of_several_subpatches_or_of_none(pair, nodes, message):
    with pytest.raises(ValueError, match=f"must be nodes of one subpatch.*{message}.*at a time"):
        pair.rows(torch.tensor(nodes, dtype=torch.long))


def test_rows_pairs_and_dense_of_a_batch_with_everything():
    pair = random_pair()
    for query, key, _ in random_layers(pair, 3, 5):
        pair.append(query, key)
    dense, padding = pair.dense(), ~valid_nodes(pair)
    start = 0
    for number, size in enumerate(pair.sizes):
        nodes = torch.arange(start, start + size)
        rows = pair.rows(nodes)
        index = torch.stack([nodes.repeat(size), nodes.repeat_interleave(size)])
        assert torch.equal(dense[number, :size, :size], rows)
        assert torch.allclose(pair.pairs(index).view(size, size, -1), rows, atol=1e-12)
        assert (rows[padding[nodes]] == 0).all() and (rows[:, padding[nodes]] == 0).all()
        valid = rows[~padding[nodes]][:, ~padding[nodes]]
        assert (valid != 0).all() and (dense[number, size:] == 0).all()
        start += size
    assert start == pair.num_nodes and int(padding.sum()) == 6


def test_padding(pair):
    # The node 2 becomes padding: nothing attends to it, and its pairs are zero.
    pair.node_type[2] = NodeType.PADDING
    index = pair.all_pairs()
    assert index.t().tolist() == [
        *([j, i] for i in range(4) for j in (0, 1, 3)), [4, 4], [5, 4], [4, 5], [5, 5]
    ]  # fmt: skip
    dense = with_layers(pair, 3).dense()
    assert (dense[0, 2] == 0).all() and (dense[0, :, 2] == 0).all()
    assert (dense[0, :2, :2] != 0).all()
    inside = torch.tensor([[2, 0, 0, 1], [0, 2, 1, 0]])
    expected = torch.stack([dense[0, 0, 2], dense[0, 2, 0], dense[0, 1, 0], dense[0, 0, 1]])
    assert torch.allclose(pair.pairs(inside), expected, atol=1e-6)


def test_a_self_loop_has_no_effect():
    edge_index, bias = torch.tensor([[0, 1, 2], [1, 1, 2]]), torch.tensor([[1.0], [7.0], [8.0]])
    pair = PairRepresentation(edge_index, bias, torch.tensor([-5.0]), 3)
    assert pair.dense()[0, :, :, 0].tolist() == [[0, 1, -5], [1, 0, -5], [-5, -5, 0]]


@pytest.mark.parametrize("evaluator", ["auto", "dense", "blocked", "fused"])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_blocks_of_logits_are_the_pair_representation(monkeypatch, evaluator, rows):
    if rows is not None:
        cut_blocks(monkeypatch, rows)
    pair = random_pair(evaluator=evaluator)
    assert pair.logits.keep == (evaluator == "dense")
    for number, (query, key, _) in enumerate(random_layers(pair, 3, 5)):
        pair.append(query, key)
        pair.logits.append(query, key)
        expected, valid = logits_by_pairs(pair), valid_nodes(pair)
        for block, part in enumerate(pair.logits.blocks):
            actual = pair.logits.at(block, number + 1)
            queries, keys = valid[part.rows], valid[part.keys]
            of_block = expected[:, part.rows, part.keys]
            assert torch.allclose(actual[:, queries][:, :, keys], of_block[:, queries][:, :, keys])
            assert (actual[:, :, ~keys] < -1e300).all()
    blocks = len(pair.logits.blocks)
    assert blocks == 3 if rows is None else blocks == sum(-(-size // rows) for size in pair.sizes)


@pytest.mark.parametrize("index", [[[0], [4]], [[5], [2]], [[0, 3, 1], [1, 4, 0]]])
def test_pairs_across_subpatches(pair, index):
    with pytest.raises(ValueError, match="two different subpatches.*inside one subpatch only"):
        pair.pairs(torch.tensor(index))


def test_no_pairs(pair):
    assert with_layers(pair, 2).pairs(torch.empty(2, 0, dtype=torch.long)).shape == (0, 2)


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
    assert pair.sizes == [2, 0, 1] and pair.dense().shape == (3, 2, 2, 1)
    assert pair.dense()[1:].abs().max() == 0
    assert pair.all_pairs().t().tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [2, 2]]


def test_no_nodes():
    far = torch.tensor([-5.0, 1.0])
    pair = PairRepresentation(torch.empty(2, 0, dtype=torch.long), torch.empty(0, 2), far, 0)
    assert pair.dense().shape == (0, 0, 0, 2) and pair.all_pairs().shape == (2, 0)
    assert pair.logits.blocks == []


@pytest.mark.parametrize("name", ["batch", "node_type"])
@pytest.mark.parametrize("shape", [(5,), (7,), (6, 1), (6, 2), (0,), ()])
def test_a_mask_of_another_shape(name, shape):
    values = {name: torch.zeros(shape, dtype=torch.long)}
    with pytest.raises(ValueError) as error:
        PairRepresentation(
            torch.tensor([[0], [1]]), torch.ones(1, 2), torch.ones(2), num_nodes=6, **values
        )
    assert str(error.value) == (
        f"'{name}' must hold one value for each of the 6 nodes (got shape {shape})"
    )


def test_repr(pair):
    assert repr(pair) == "PairRepresentation(num_nodes=6, heads=2, num_layers=0)"
    assert repr(with_layers(pair, 3)) == "PairRepresentation(num_nodes=6, heads=2, num_layers=1)"
