import numpy as np
import pytest
import torch

from stofm_pyg.data.build_data import build_data

X = np.arange(10.0).reshape(5, 2)
POS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [20.0, 0.0]])
CELL_ID = np.array([9, 7, 5, 3, 1])


def build(pos=POS, **kwargs):
    num = len(pos)
    labels = {"domain": np.array([0, 1, -1, 1, 0])[:num]}
    return build_data(X[:num], pos, CELL_ID[:num], labels, {"domain": ["a", "b"]}, **kwargs)


def test_values_without_virtual_cells():
    data = build(radius=1.1, virtual_cells=False, name="left")
    assert set(data.keys()) == (
        {"x", "pos", "node_type", "cell_id", "domain", "classes", "name", "unit"}
        | {"edge_index", "edge_attr"}
    )
    assert data.x.dtype == data.pos.dtype == data.edge_attr.dtype == torch.float32
    assert data.node_type.dtype == torch.uint8 and data.node_type.tolist() == [0] * 5
    assert data.x.tolist() == X.tolist()
    assert data.cell_id.tolist() == CELL_ID.tolist()
    assert data.domain.tolist() == [0, 1, -1, 1, 0]
    assert (data.classes, data.name, data.unit) == ({"domain": ["a", "b"]}, "left", "spacing")
    # In units of the median distance to the nearest neighbour, 2, around the mean.
    assert torch.allclose(data.pos, torch.tensor((POS - POS.mean(axis=0)) / 2).float())
    assert data.edge_index.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3], [1, 2, 0, 3, 0, 3, 1, 2]]
    assert data.edge_attr.tolist() == [[1.0]] * 8


def test_virtual_cells_follow_the_cells():
    data = build(max_clusters=1)
    assert data.node_type.tolist() == [0] * 5 + [2]
    assert data.cell_id.tolist() == [*CELL_ID.tolist(), -1]
    assert data.domain.tolist() == [0, 1, -1, 1, 0, -1]
    assert data.cluster.tolist() == [0] * 6
    assert torch.allclose(data.x[5], torch.tensor([4.0, 5.0]))
    assert torch.allclose(data.pos[5], torch.zeros(2), atol=1e-6)
    assert data.pos.dtype == torch.float32


def test_units_and_no_graph():
    data = build(unit="micron", microns_per_unit=0.5, radius=None, virtual_cells=False)
    assert data.unit == "micron"
    assert torch.allclose(data.pos, torch.tensor((POS - POS.mean(axis=0)) / 2).float())
    assert data.edge_index.shape == (2, 0) and data.edge_index.dtype == torch.int64
    assert data.edge_attr.shape == (0, 1) and data.edge_attr.dtype == torch.float32


def test_max_neighbors():
    data = build(radius=1.5, virtual_cells=False)
    assert data.num_edges == 12
    assert build(radius=1.5, max_neighbors=2, virtual_cells=False).num_edges == 8


def test_arrays_are_copied():
    x, pos = X.astype(np.float32), POS.copy()
    data = build_data(x, pos, CELL_ID, {}, {}, radius=None, virtual_cells=False)
    data.x += 1
    assert np.array_equal(x, X) and np.array_equal(pos, POS)


@pytest.mark.parametrize("pos", [POS[:0], POS[:1], POS[[1, 1, 1]]])
def test_needs_two_positions(pos):
    with pytest.raises(ValueError, match=f"^Slice 'left' needs .* it has {len(pos)} cell"):
        build(pos, name="left")
