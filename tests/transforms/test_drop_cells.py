import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType
from stofm_pyg.transforms import DropCells


def make_ragged(num_cells=6, num_virtual=2):
    """Cell i has i + 1 tokens, all of them i; a ring of edges; virtual cells last."""
    index = torch.arange(num_cells)
    return Data(
        x=torch.arange(num_cells + num_virtual).float()[:, None],
        pos=torch.zeros(num_cells + num_virtual, 2),
        node_type=torch.tensor([NodeType.CELL] * num_cells + [NodeType.VIRTUAL] * num_virtual),
        edge_index=torch.stack([index, index.roll(-1)]),
        edge_attr=index.float()[:, None],
        tokens=index.repeat_interleave(index + 1),
        lengths=index + 1,
    )


def test_cells_their_edges_and_tokens_go_together(unchanged):
    data = make_ragged(50)
    out = unchanged(DropCells(0.4, seed=0), data)
    cells = out.node_type == NodeType.CELL
    left = out.x[cells].view(-1).long()
    assert 15 < left.numel() < 45 and bool((left.diff() > 0).all())
    assert out.x[~cells].view(-1).tolist() == [50.0, 51.0]  # Virtual cells stay.
    assert out.lengths.tolist() == (left + 1).tolist()
    assert out.tokens.tolist() == left.repeat_interleave(left + 1).tolist()
    source, target = left[out.edge_index]
    assert torch.equal(target, (source + 1) % 50) and torch.equal(out.edge_attr.view(-1), source.float())
    kept = set(left.tolist())
    assert source.numel() == sum((i + 1) % 50 in kept for i in kept)


def test_one_cell_stays():
    out = DropCells(0.999, seed=0)(make_ragged())
    assert out.x.view(-1).tolist() == [0.0, 6.0, 7.0] and out.tokens.tolist() == [0]


def test_nothing_to_drop():
    data = make_ragged()
    assert DropCells(0.0)(data).x.shape == data.x.shape


def test_seeds():
    data = make_ragged(100)
    first, second = DropCells(0.5, seed=1), DropCells(0.5, seed=1)
    one, two = first(data).x, first(data).x
    assert torch.equal(second(data).x, one) and not torch.equal(one, two)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match=r"'rate' must lie in \[0, 1\)"):
        DropCells(rate)


def test_repr():
    assert str(DropCells(0.15)) == "DropCells(rate=0.15)"
