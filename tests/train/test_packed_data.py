import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from stofm_pyg.train.packed_data import ALIGNMENT, PackedData

TYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 5), max_size=3)), max_size=6))
def test_there_and_back(tensors):
    data = Data(name=["a", "b"], unit="spacing")
    for i, (dtype, shape) in enumerate(tensors):
        data[f"t{i}"] = torch.arange(torch.Size(shape).numel()).view(shape).to(dtype)
    packed = PackedData.pack(data)
    out = packed.unpack()
    assert out.name == ["a", "b"] and out.unit == "spacing"
    for i, (dtype, shape) in enumerate(tensors):
        value = out[f"t{i}"]
        assert value.dtype == dtype and list(value.shape) == shape and torch.equal(value, data[f"t{i}"])
    assert all(start % ALIGNMENT == 0 for *_, start in packed.layout)


def test_tensors_that_are_not_contiguous():
    x = torch.arange(12.0).view(3, 4).t()
    assert torch.equal(PackedData.pack(Data(x=x)).unpack().x, x)


def test_a_batch_keeps_what_tells_its_parts_apart():
    parts = [Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]])), Data(x=torch.zeros(3, 1))]
    parts[1].edge_index = torch.tensor([[2], [0]])
    out = PackedData.pack(Batch.from_data_list(parts)).unpack()
    assert out.batch.tolist() == [0, 0, 1, 1, 1] and out.ptr.tolist() == [0, 2, 5]
    assert out.edge_index.tolist() == [[0, 4], [1, 2]]


def test_one_buffer():
    out = PackedData.pack(Data(x=torch.ones(2), pos=torch.ones(3))).unpack()
    assert out.x.untyped_storage().data_ptr() == out.pos.untyped_storage().data_ptr()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned():
    assert PackedData.pack(Data(x=torch.ones(2))).pin_memory().unpack().x.is_pinned()
