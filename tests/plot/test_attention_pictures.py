import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from torch_geometric.data import Data

from stofm_pyg.nn import PairRepresentation
from stofm_pyg.plot import class_colors, plot_attention, plot_pair_representation
from tests.plot.plot_case import POS, legend_texts, scale_bar

# Cells 0 to 4 and a virtual cell 5; cell 4 is in another subpatch.
NODE = np.array([3, 0, 1, 2, 5])


@pytest.fixture
def data():
    out = Data(
        pos=torch.tensor(np.concatenate([POS, [[1.0, 0.4]]])),
        edge_index=torch.tensor([[0, 1, 2, 1], [1, 0, 1, 2]]),
        node_type=torch.tensor([0, 0, 0, 0, 0, 2]),
    )
    out.unit, out.name = "micron", "s1"
    return out


@pytest.fixture
def weights():
    """Of two layers and two heads; the last layer's mean is 0.1, 0.2, 0.4, 0.2, 0.1."""
    first = np.full((2, 5), 0.2)
    last = np.array([[0.0, 0.2, 0.6, 0.1, 0.1], [0.2, 0.2, 0.2, 0.3, 0.1]])
    return np.stack([first, last])


def drawn(ax):
    """Position and number of each dot with one."""
    parts = [part for part in ax.collections if isinstance(part, PathCollection)]
    return {
        tuple(pos): number
        for part in parts
        if part.get_array() is not None
        for pos, number in zip(part.get_offsets().tolist(), part.get_array().tolist(), strict=True)
    }


def test_weights_are_told_in_equal_shares(data, weights):
    figure = plot_attention(data, (torch.tensor(weights), torch.tensor(NODE), 1))
    cells, virtual, shares, _ = figure.axes
    assert drawn(cells) == pytest.approx({(0, 1): 0.5, (0, 0): 1.0, (2, 1): 1.0})  # Not itself.
    assert drawn(virtual) == pytest.approx({(1.0, 0.4): 0.5})
    assert cells.get_title() == "to cells (layer 1)" and virtual.get_title() == "to 1 virtual cells"
    assert figure.get_suptitle() == "s1: attention of cell 1"
    assert scale_bar(virtual) == (0.5, "0.5 µm")
    heights = np.array([[patch.get_height() for patch in bars] for bars in shares.containers])
    np.testing.assert_allclose(heights.sum(axis=0), 1.0)
    np.testing.assert_allclose(heights[:, 1], [0.4, 0.4, 0.1, 0.1])
    assert legend_texts(shares.get_legend()) == ["virtual cells", "other cells", "neighbours", "itself"]


def test_another_layer_and_a_head(data, weights):
    figure = plot_attention(data, (weights, NODE, 1), layer=1, head=1)
    assert drawn(figure.axes[0])[(2, 1)] == pytest.approx(1.5)
    assert figure.axes[0].get_title() == "to cells (layer 1, head 1)"
    figure = plot_attention(data, (weights, NODE, 1), layer=0)
    assert set(drawn(figure.axes[0]).values()) == {1.0}


def test_a_cls_that_the_slice_does_not_have(data, weights):
    node = np.append(NODE[:4], -1)
    figure = plot_attention(data, (weights, node, 1))
    assert legend_texts(figure.axes[2].get_legend())[0] == "CLS"
    assert figure.axes[1].get_title() == "there are no virtual cells"


def test_bad_weights(data, weights):
    with pytest.raises(ValueError, match=r"shape \(2, 5\) are not \[layers, heads, nodes\] of 5"):
        plot_attention(data, (weights[0], NODE, 1))
    with pytest.raises(IndexError, match="no layer 2; there are 2"):
        plot_attention(data, (weights, NODE, 1), layer=2)
    with pytest.raises(IndexError, match="no head -3; there are 2"):
        plot_attention(data, (weights, NODE, 1), head=-3)
    with pytest.raises(ValueError, match="Node 6 is not one of the 6 of the slice"):
        plot_attention(data, (weights, NODE + 1, 1))
    with pytest.raises(ValueError, match="Cell 4 is not among the nodes"):
        plot_attention(data, (weights, NODE, 4))


@pytest.fixture
def pair():
    """Two subpatches of three and two nodes, two heads."""
    out = PairRepresentation(
        torch.tensor([[0, 3], [1, 4]]), torch.tensor([[1.0, 3.0], [2.0, 2.0]]),
        torch.tensor([-5.0, -7.0]), 5, torch.tensor([0, 0, 0, 1, 1]),
    )  # fmt: skip
    out.append(torch.ones(2, 5, 1), torch.arange(5.0).view(1, 5, 1).expand(2, -1, -1))
    return out


def matrix(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_pairs_are_means_or_those_of_a_head(pair):
    mean = [[0, 3, -4], [2, 1, -4], [-6, -5, 2]]
    np.testing.assert_allclose(matrix(plot_pair_representation(pair)), mean)
    head = pair.dense()[0, :, :, 1]
    np.testing.assert_allclose(matrix(plot_pair_representation(pair, head=1)), head)
    np.testing.assert_allclose(matrix(plot_pair_representation(pair.dense()[0], head=1)), head)
    np.testing.assert_allclose(matrix(plot_pair_representation(head)), head)
    other = matrix(plot_pair_representation(pair, nodes=[4, 3]))
    np.testing.assert_allclose(other, [[4, 5], [6, 3]])


def test_nodes_are_sorted_by_class(pair):
    figure = plot_pair_representation(pair, values=torch.tensor([-1, 1, 0]), classes=["a", "b"])
    np.testing.assert_allclose(matrix(figure), [[2, -5, -6], [-4, 1, 2], [-4, 3, 0]])
    assert legend_texts(figure.legends[0]) == ["a", "b", "unknown"]
    down, along = figure.axes[0].child_axes
    np.testing.assert_array_equal(down.images[0].get_array().ravel(), [1, 2, 0])
    np.testing.assert_array_equal(along.images[0].get_array().ravel(), [1, 2, 0])
    np.testing.assert_allclose(down.images[0].cmap([1, 2])[:, :3], class_colors(2)[:, :3])


def test_some_of_many_nodes():
    values = np.add.outer(np.arange(50.0), np.arange(50.0))
    found = matrix(plot_pair_representation(values, max_nodes=7))
    kept = found.diagonal() / 2
    assert found.shape == (7, 7) and (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(found, np.add.outer(kept, kept))


def test_bad_pairs(pair):
    with pytest.raises(ValueError, match=r"has shape \(2, 3\); pass \[n, n\]"):
        plot_pair_representation(np.zeros((2, 3)))
    with pytest.raises(IndexError, match="no head 2; the pair representation has 2"):
        plot_pair_representation(pair, head=2)
    with pytest.raises(ValueError, match="There are 2 values, but node 2"):
        plot_pair_representation(pair, values=[0, 1])
