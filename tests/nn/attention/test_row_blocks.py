import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stofm_pyg.nn.attention.row_blocks
from stofm_pyg.nn import NodeType
from stofm_pyg.nn.attention.row_blocks import row_blocks

# The subpatch 0 - 1 - 2 with CLS 3 and padding 4, and one of the nodes 5 - 6.
EDGES = torch.tensor([[0, 1, 0, 2, 5, 6], [1, 2, 3, 4, 6, 6]])
TYPES = torch.tensor([0, 0, 2, 1, 3, 0, 0])


def as_dict(block, places, values):
    """Values by query and key, as numbers of nodes."""
    num_keys = block.keys.stop - block.keys.start
    pairs = [divmod(place, num_keys) for place in places.tolist()]
    pairs = [(block.rows.start + row, block.keys.start + column) for row, column in pairs]
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, values, strict=True))


def edges_of(block):
    return as_dict(block, block.place, block.edge.tolist())


def test_one_block_for_each_subpatch():
    first, second = row_blocks(EDGES, [5, 2], TYPES, max_pairs=100)
    assert (first.rows, first.keys) == (slice(0, 5), slice(0, 5))
    assert (second.rows, second.keys) == (slice(5, 7), slice(5, 7))
    assert first.shape == (5, 5) and second.shape == (2, 2)
    # Without the self-loop 6 - 6, and without CLS and padding, which have biases of their own.
    assert edges_of(first) == {(0, 1): 0, (1, 0): 0, (1, 2): 1, (2, 1): 1}
    assert edges_of(second) == {(5, 6): 4, (6, 5): 4}
    cls = [(3, 0), (3, 1), (3, 2), (3, 4), (0, 3), (1, 3), (2, 3), (4, 3)]
    assert sorted(as_dict(first, first.zero, first.zero)) == sorted(cls)
    assert second.zero.numel() == 0
    assert first.padding.tolist() == [4] and second.padding.tolist() == []


def test_without_types_all_are_cells():
    first, second = row_blocks(EDGES, [5, 2], None, max_pairs=100)
    assert edges_of(first) == {
        (0, 1): 0, (1, 0): 0, (1, 2): 1, (2, 1): 1, (0, 3): 2, (3, 0): 2, (2, 4): 3, (4, 2): 3
    }  # fmt: skip
    assert first.zero is None and first.padding is None and second.zero is None


@pytest.mark.parametrize(
    ("max_pairs", "min_rows", "rows"),
    [
        (1000, 1, [10]),
        (100, 1, [10]),
        (99, 1, [5, 5]),
        (40, 1, [4, 4, 2]),
        (30, 1, [3, 3, 3, 1]),
        (10, 1, [1] * 10),
        (1, 1, [1] * 10),
        (1, 4, [4, 4, 2]),
        (1, 32, [10]),
    ],
)
def test_rows_in_a_block(monkeypatch, max_pairs, min_rows, rows):
    monkeypatch.setattr(stofm_pyg.nn.attention.row_blocks, "MIN_ROWS", min_rows)
    blocks = row_blocks(EDGES[:, :0], [10], None, max_pairs)
    assert [block.shape for block in blocks] == [(size, 10) for size in rows]


def test_subpatches_without_nodes():
    first, second = row_blocks(EDGES, [5, 0, 2], TYPES, 100)
    assert first.keys == slice(0, 5) and second.keys == slice(5, 7)
    assert row_blocks(EDGES[:, :0], [0, 0], TYPES[:0], 100) == []
    assert row_blocks(EDGES[:, :0], [], None, 100) == []


def test_a_single_node_that_is_cls():
    (block,) = row_blocks(EDGES[:, :0], [1], torch.tensor([NodeType.CLS]), 100)
    assert block.shape == (1, 1) and block.place.numel() == 0 and block.zero.numel() == 0


def test_two_cls():
    (block,) = row_blocks(EDGES[:, :0], [3], torch.tensor([1, 0, 1]), 100)
    assert sorted(as_dict(block, block.zero, block.zero)) == [
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)
    ]  # fmt: skip


def test_diagonal(monkeypatch):
    monkeypatch.setattr(stofm_pyg.nn.attention.row_blocks, "MIN_ROWS", 2)
    for block in row_blocks(EDGES, [5, 2], TYPES, 1):
        logits = torch.zeros(3, *block.shape)
        block.diagonal(logits).fill_(1.0)
        nodes = torch.arange(7)
        same = nodes[block.rows].view(-1, 1) == nodes[block.keys]
        assert torch.equal(logits, same.float().expand(3, -1, -1))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    max_pairs=st.integers(1, 60),
)
def test_every_pair_is_in_its_place_once(seed, sizes, max_pairs):
    generator = torch.Generator().manual_seed(seed)
    node_type = torch.randint(4, (sum(sizes),), generator=generator)
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    low, high = torch.triu_indices(sum(sizes), sum(sizes))
    is_edge = (batch[low] == batch[high]) & (torch.rand(low.numel(), generator=generator) < 0.5)
    edge_index = torch.stack([low[is_edge], high[is_edge]])
    edge_index = edge_index[:, torch.randperm(edge_index.size(1), generator=generator)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(stofm_pyg.nn.attention.row_blocks, "MIN_ROWS", 1)
        blocks = row_blocks(edge_index, sizes, node_type, max_pairs)

    rows = [node for block in blocks for node in range(block.rows.start, block.rows.stop)]
    assert rows == list(range(sum(sizes)))
    special = (node_type == NodeType.CLS) | (node_type == NodeType.PADDING)
    edges, zeros = {}, {}
    for block in blocks:
        nodes = set(range(block.keys.start, block.keys.stop))
        assert nodes == set((batch == batch[block.rows.start]).nonzero().view(-1).tolist())
        assert block.rows.stop - block.rows.start == 1 or block.shape[0] * block.shape[1] <= max_pairs
        edges |= edges_of(block)
        if block.zero is not None:
            zeros |= as_dict(block, block.zero, block.zero)
        if block.padding is not None:
            columns = {block.keys.start + column for column in block.padding.tolist()}
            assert columns == {node for node in nodes if node_type[node] == NodeType.PADDING}
    expected = {}
    for number, (i, j) in enumerate(edge_index.t().tolist()):
        if i != j and not special[i] and not special[j]:
            expected |= {(i, j): number, (j, i): number}
    assert edges == expected
    assert set(zeros) == {
        (i, j) for i in rows for j in rows
        if i != j and batch[i] == batch[j] and NodeType.CLS in (node_type[i], node_type[j])
    }  # fmt: skip
