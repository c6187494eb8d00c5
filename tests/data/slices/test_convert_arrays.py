"""A slice from arrays, by `build_data`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.convert import build_data

X = np.arange(10.0).reshape(5, 2)
POS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [20.0, 0.0]])
CELL_ID = np.array([9, 7, 5, 3, 1])


def build(pos=POS, name="", **changes):
    num = len(pos)
    labels = {"domain": np.array([0, 1, -1, 1, 0])[:num]}
    settings = SliceSettings(**changes)
    return build_data(X[:num], pos, CELL_ID[:num], settings, labels, {"domain": ["a", "b"]}, name)


def test_values_without_virtual_cells():
    data = build(radius=1.1, virtual_cells=False, name="left")
    assert set(data.keys()) == (
        {"x", "pos", "node_type", "cell_id", "domain", "classes", "name", "unit"}
        | {"edge_index", "edge_attr", "settings"}
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
    data = build_data(x, pos, CELL_ID, SliceSettings(radius=None, virtual_cells=False))
    assert data.classes == {} and data.name == ""
    data.x += 1
    assert np.array_equal(x, X) and np.array_equal(pos, POS)


@pytest.mark.parametrize("pos", [POS[:0], POS[:1], POS[[1, 1, 1]]])
def test_needs_two_positions(pos):
    with pytest.raises(ValueError, match=f"^Slice 'left' needs .* it has {len(pos)} cell"):
        build(pos, name="left")


@given(seed=st.integers(0, 20))
@settings(max_examples=4)
def test_the_number_of_threads_changes_nothing(same_data, seed):
    rng = np.random.default_rng(seed)
    pos = rng.uniform(0, 20, (400, 2))
    x = rng.standard_normal((400, 30)).astype(np.float32)
    threads, made = torch.get_num_threads(), []
    try:
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            made.append(build_data(x, pos, np.arange(400), SliceSettings(radius=2.5)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert same_data(made[0], made[1]) and same_data(made[0], made[2])


def lattice(side, copies=1):
    return np.repeat(np.stack(np.divmod(np.arange(side**2), side), axis=1) * 1.0, copies, axis=0)


def degrees_told(caplog, pos, **changes):
    caplog.clear()
    x = np.random.default_rng(0).normal(size=(len(pos), 3))
    settings = SliceSettings(virtual_cells=False, **changes)
    build_data(x, pos, np.arange(len(pos)), settings, name="left")
    return caplog.messages


def test_graphs_out_of_the_ordinary_are_told_with_numbers(caplog):
    assert degrees_told(caplog, lattice(12)) == []
    assert degrees_told(caplog, lattice(12), max_neighbors=1) == []
    assert degrees_told(caplog, lattice(12), radius=None) == []
    assert degrees_told(caplog, POS, radius=1.1) == [
        "Slice 'left': a cell has 1.6 neighbours within 1.1 (unit: spacing) on average, and 20 % of 5 "
        "cells have none; look at 'radius' and 'unit', and whether positions are repeated"
    ]
    assert degrees_told(caplog, 55.0 * lattice(12), unit="micron") == [
        "Slice 'left': a cell has 0.0 neighbours within 8 (unit: micron) on average, and 100 % of 144 "
        "cells have none; look at 'radius' and 'unit', and whether positions are repeated"
    ]
    (told,) = degrees_told(caplog, lattice(6, copies=40))
    assert told.startswith("Slice 'left': a cell has 14") and told.endswith(
        "0 % of 1440 cells have none; 'max_neighbors' keeps the nearest"
    )
    assert degrees_told(caplog, lattice(6, copies=40), max_neighbors=10) == []


def test_jittered_spots_are_joined(caplog):
    jitter = np.random.default_rng(0).normal(0, 0.01, (1000, 2))
    x, cells, settings = np.zeros((1000, 2)), np.arange(1000), SliceSettings(virtual_cells=False)
    spot = cells // 10
    across = []
    for pos in (lattice(10, copies=10), lattice(10, copies=10) + jitter):
        row, col = build_data(x, 100.0 * pos, cells, settings).edge_index.numpy()
        across.append(int((spot[row] != spot[col]).sum()))
    assert across[1] == pytest.approx(across[0], rel=0.02)
    assert "1000 cells lie in 100 heaps" in caplog.text
