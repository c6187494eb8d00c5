import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.patches import Circle
from torch_geometric.data import Data

from stofm_pyg.datasets import SyntheticTissue
from stofm_pyg.nn import NodeType
from stofm_pyg.plot import plot_graph, plot_subpatches, plot_virtual_cells
from tests.plot.plot_case import PNG, POS, dots, scale_bar, small_tissue


@pytest.fixture(scope="module")
def data():
    """A generated slice with a graph and virtual cells."""
    return SyntheticTissue(num_slices=1, cells_per_slice=150, num_genes=40, num_domains=3, radius=3.0)[0]


def points(ax):
    return [part for part in ax.collections if isinstance(part, PathCollection)]


def lines(ax):
    return [part for part in ax.collections if isinstance(part, LineCollection)]


def test_subpatches_have_borders_and_touching_ones_differ(tmp_path, data):
    figure = plot_subpatches(data, tmp_path / "a.png", cells_per_part=50)
    assert (tmp_path / "a.png").read_bytes()[:8] == PNG
    (ax,) = figure.axes
    assert ax.get_title().startswith(f"{data.name}: 3 subpatches of ")
    assert len(dots(ax)) == 150 and ax.get_aspect() == 1.0
    assert len(lines(ax)[0].get_segments()) > 5
    assert scale_bar(ax)[1].endswith("cell spacings")


def test_given_subpatches():
    grid = np.stack(np.divmod(np.arange(36), 6), axis=1).astype(float)
    data = Data(pos=torch.tensor(grid), edge_index=torch.empty((2, 0), dtype=torch.long))
    part = 7 * (grid[:, 0] > 2).astype(int)
    (ax,) = plot_subpatches(data, parts=part).axes
    assert ax.get_title() == "2 subpatches of 18 cells"
    found = dots(ax)
    colors = {value: {found[tuple(pos)][:3] for pos in grid[part == value]} for value in (0, 7)}
    assert len(colors[0]) == len(colors[7]) == 1 and colors[0] != colors[7]
    np.testing.assert_allclose(np.array(lines(ax)[0].get_segments())[:, :, 0], 2.5)
    with pytest.raises(ValueError, match=r"values in 'parts' of shape \(4,\) for 36 cells"):
        plot_subpatches(data, parts=part[:4])
    with pytest.raises(ValueError, match=r"'parts' are those of one slice \(got 2 slices\)"):
        plot_subpatches([data, data], parts=part)
    with pytest.raises(ValueError, match="no graph to draw; apply 'SpatialRadiusGraph'"):
        plot_subpatches(Data(pos=torch.tensor(POS)))


def test_subpatches_of_a_table():
    figure = plot_subpatches(small_tissue(), cells_per_part=30)
    titles = [ax.get_title() for ax in figure.axes]
    assert [title[:18] for title in titles] == ["s1: 2 subpatches o", "s2: 2 subpatches o"]


def test_virtual_cells_are_tied_to_their_members(data):
    (ax,) = plot_virtual_cells(data).axes
    virtual = data.pos[data.node_type == NodeType.VIRTUAL].numpy()
    assert ax.get_title() == f"{data.name}: {len(virtual)} virtual cells of 150 cells"
    members, spots, _ = points(ax)
    np.testing.assert_array_equal(spots.get_offsets(), virtual)
    assert len(members.get_offsets()) == 150
    segments = np.array(lines(ax)[0].get_segments())
    cluster = data.cluster[:150].numpy()
    np.testing.assert_array_equal(segments[:, 0], data.pos[:150].numpy())
    np.testing.assert_array_equal(segments[:, 1], virtual[cluster])
    counts = np.bincount(cluster)
    assert np.argmax(spots.get_sizes()) == np.argmax(counts)
    assert np.allclose(spots.get_sizes(), 12 + 228 * 2 * counts / 150)


def test_some_virtual_cells(data):
    (ax,) = plot_virtual_cells(data, clusters=[1]).axes
    grey, members, spots, _ = sorted(points(ax), key=lambda part: part.get_zorder())
    number = int((data.cluster[:150] == 1).sum())
    assert len(members.get_offsets()) == number and len(grey.get_offsets()) == 150 - number
    assert len(spots.get_offsets()) == 1 and len(lines(ax)[0].get_segments()) == number
    with pytest.raises(ValueError, match="has no virtual cell 99, but 0 to"):
        plot_virtual_cells(data, clusters=[0, 99])
    with pytest.raises(ValueError, match="has no virtual cells; apply 'AddVirtualCells'"):
        plot_virtual_cells(Data(pos=torch.tensor(POS)))


def test_the_graph_around_a_cell(data):
    (ax, _) = plot_graph(data, cell=7, width=9.0).axes
    pos = data.pos[:150].numpy()
    others, rays = lines(ax)
    degree = int((data.edge_index[0] == 7).sum())
    assert ax.get_title() == f"{data.name}: {degree} neighbours of cell 7"
    distance = np.linalg.norm(pos - pos[7], axis=1)
    near = np.flatnonzero((distance > 0) & (distance <= 3.0))
    np.testing.assert_allclose(np.sort(rays.get_array()), np.sort(distance[near]), rtol=1e-4)
    ends = {tuple(end) for ray in rays.get_segments() for end in np.asarray(ray)}
    assert ends == {tuple(each) for each in pos[[7, *near]].astype(np.float64)}
    inside = (np.abs(pos - pos[7]) <= 4.5).all(axis=1)
    source, target = data.edge_index.numpy()
    once = (source < target) & (source != 7) & (target != 7) & inside[source] & inside[target]
    assert len(others.get_segments()) == once.sum() > 0
    assert len(points(ax)[0].get_offsets()) == inside.sum()
    (circle,) = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert circle.radius == 3.0 and tuple(circle.center) == tuple(pos[7])


def test_graph_of_a_table_and_what_cannot_be_drawn(data):
    adata = small_tissue(slices=("s1",))
    (ax, bar) = plot_graph(adata, radius=1.2).axes
    assert ax.get_title() == "s1: 4 neighbours of cell 27"
    assert bar.get_ylabel() == "length of an edge (cell spacings)"
    with pytest.raises(ValueError, match=r"of one slice \(got 2: \['s1', 's2'\]\)"):
        plot_graph(small_tissue())
    with pytest.raises(ValueError, match="no cell 150; the slice has the cells 0 to 149"):
        plot_graph(data, cell=150)
    with pytest.raises(ValueError, match="'width' must be positive and finite"):
        plot_graph(data, width=0.0)
    with pytest.raises(ValueError, match="no edge between cells"):
        plot_graph(Data(pos=torch.tensor(POS), edge_index=torch.empty((2, 0), dtype=torch.long)))
