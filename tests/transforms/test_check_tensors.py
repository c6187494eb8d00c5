import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.transforms import SpatialRadiusGraph
from stofm_pyg.transforms.check_tensors import check_tensors


def make_slice():
    pos = torch.tensor([[0.0, 0], [1, 0], [0, 1], [3, 3]])
    data = Data(x=torch.arange(12.0).view(4, 3), pos=pos, cell_id=torch.arange(4))
    return SpatialRadiusGraph(1.5)(data)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"x": torch.ones(4, 3, dtype=torch.float16)},
        {"x": torch.ones(4, 3, dtype=torch.int64)},
        {"edge_index": torch.tensor([[0, 1], [1, 0]], dtype=torch.int32), "edge_attr": torch.ones(2)},
        {"edge_index": None, "edge_attr": None},
        {"edge_index": torch.empty(2, 0, dtype=torch.int64), "edge_attr": torch.empty(0, 1)},
        {"cell_id": None},
    ],
)
def test_a_slice(changes):
    data = make_slice()
    for key, value in changes.items():
        data[key] = value
    assert check_tensors(data) is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": None}, ValueError, "no features; set 'data.x'"),
        ({"x": torch.ones(4)}, ValueError, r"'data.x' must have shape \[N, F\] \(got \[4\]\)"),
        ({"x": torch.ones(4, 1, 3)}, ValueError, r"\(got \[4, 1, 3\]\)"),
        ({"x": torch.ones(4, 3).numpy()}, TypeError, "'data.x' is a ndarray; .* 'torch.as_tensor'"),
        ({"x": torch.ones(4, 3).to_sparse()}, TypeError, "'data.x' is sparse; .* '.to_dense"),
        ({"x": torch.ones(4, 3, device="meta")}, TypeError, "'data.x' is on the meta device"),
        ({"x": torch.ones(4, 3, dtype=torch.complex64)}, TypeError, "'data.x' holds complex numbers"),
        ({"x": torch.ones(3, 3)}, ValueError, r"'data.pos' has shape \[4, 2\], 'data.x' \[3, 3\]"),
        ({"cell_id": torch.arange(5)}, ValueError, r"'data.cell_id' has shape \[5\]"),
        ({"node_type": torch.tensor(0)}, ValueError, r"'data.node_type' has shape \[\]"),
        ({"pos": None}, ValueError, "no positions; set 'data.pos'"),
        ({"pos": torch.ones(4, 3)}, ValueError, r"Positions must have shape \[N, 2\] \(got \[4, 3\]\)"),
        ({"edge_index": torch.ones(3, 2).long()}, ValueError, r"shape \[2, E\] \(got \[3, 2\]\)"),
        ({"edge_index": torch.ones(2, 2)}, TypeError, "'data.edge_index' holds torch.float32"),
        ({"edge_index": torch.tensor([[0], [4]])}, ValueError, "nodes from 0 to 4, but there are 4"),
        ({"edge_index": torch.tensor([[-1], [2]])}, ValueError, "nodes from -1 to 2, but there are 4"),
    ],
)
def test_no_slice(changes, error, message):
    data = make_slice()
    for key, value in changes.items():
        data[key] = value
    with pytest.raises(error, match=message):
        check_tensors(data)


@pytest.mark.parametrize(("key", "what"), [("x", "features that are not finite"), ("pos", "positions")])
def test_what_is_not_finite_is_named(key, what):
    data = make_slice()
    data[key][2, 1] = float("nan")
    with pytest.raises(ValueError, match=rf"1 of 4 .*{what}.* the first in row 2"):
        check_tensors(data)
