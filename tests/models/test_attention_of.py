import pytest
import torch

from stofm_pyg.datasets import SyntheticTissue
from stofm_pyg.models import SToFM, attention_of
from stofm_pyg.nn import NodeType


@pytest.fixture(scope="module")
def data():
    return SyntheticTissue(num_slices=1, cells_per_slice=120, num_genes=40, num_domains=3, radius=3.0)[0]


@pytest.fixture
def model(data):
    torch.manual_seed(0)
    return SToFM(data.x.size(1), hidden_channels=8, num_layers=2, heads=2, num_gaussians=4).train()


def test_weights_are_the_softmax_of_the_whole_pair_representation(model, data):
    attention = attention_of(model, data, cell=30, cells_per_part=1000)
    assert attention.weights.shape == (2, 2, data.num_nodes) and attention.cell == 30
    torch.testing.assert_close(attention.weights.sum(-1), torch.ones(2, 2))
    assert sorted(attention.node.tolist()) == list(range(data.num_nodes))
    row = int((attention.node == 30).nonzero())
    expected = attention.pair.dense()[0, row].softmax(dim=0).t()  # Of the last layer.
    torch.testing.assert_close(attention.weights[1], expected)
    assert model.training


def test_nodes_are_those_of_the_subpatch_of_the_cell(model, data):
    virtual = (data.node_type == NodeType.VIRTUAL).nonzero().view(-1).tolist()
    seen = []
    for cell in (0, 50, 119):
        node = attention_of(model, data, cell, cells_per_part=40).node
        assert cell in node and node[-len(virtual) :].tolist() == virtual
        assert 30 <= node.numel() - len(virtual) <= 50 and node.unique().numel() == node.numel()
        seen.append(node)
    # All of one subpatch have the same mates.
    for other in seen[0][:5].tolist():
        again = attention_of(model, data, other, cells_per_part=40).node
        torch.testing.assert_close(again, seen[0])


def test_a_moved_cell_has_another_weight(model, data):
    # What is told of a node is its own: features of one virtual cell change its weights alone.
    virtual = int((data.node_type == NodeType.VIRTUAL).nonzero()[-1])
    changed = data.clone()
    changed.x[virtual] += 5.0
    before, after = (attention_of(model, each, cell=3).weights[0] for each in (data, changed))
    node = attention_of(model, data, cell=3).node
    ratio = (after / before).log()
    ratio = ratio - ratio[:, node == 3]  # The sum of a softmax is common to all.
    assert ratio[:, node != virtual].abs().max() < 1e-4
    assert ratio[:, node == virtual].abs().min() > 1e-4


def test_what_has_no_attention(model, data):
    with pytest.raises(ValueError, match="no cell 120; the slice has the cells 0 to 119"):
        attention_of(model, data, cell=120)
    other = SToFM(data.x.size(1), hidden_channels=8, num_layers=1, conv="GCNConv", heads=2)
    with pytest.raises(ValueError, match="are GCNConv, which has no attention between all nodes"):
        attention_of(other, data, cell=0)
