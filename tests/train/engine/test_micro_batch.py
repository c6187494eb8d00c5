import pytest
import torch
from torch_geometric.data import Batch, Data

from stofm_pyg.train import MicroBatch
from stofm_pyg.train.engine.micro_batch import as_micro_batches, item_counts


def test_names():
    parts = [Data(x=torch.ones(1, 1), name=name) for name in ("b", "a", "b")]
    assert MicroBatch(parts[0]).names == ["b"]
    assert MicroBatch(Batch.from_data_list(parts)).names == ["b", "a"]
    assert MicroBatch(Data(x=torch.ones(1, 1))).names == []
    assert MicroBatch("a batch of another kind").names == []


def test_a_single_batch_is_a_step():
    data = Data(x=torch.ones(1, 1))
    (part,) = as_micro_batches(data)
    assert part.batch is data and part.counted
    parts = [MicroBatch(data), MicroBatch(data, counted=False)]
    assert as_micro_batches(parts) is parts


@pytest.mark.parametrize(("step", "got"), [([], "nothing"), ([MicroBatch(1), 3, "x"], "int, str")])
def test_other_lists(step, got):
    with pytest.raises(TypeError, match=rf"\(got a list of {got}\); wrap each batch as"):
        as_micro_batches(step)


def test_counts():
    class Counting(torch.nn.Module):
        def counts(self, batch):
            return torch.tensor([batch, 2 * batch])

    parts = [MicroBatch(3), MicroBatch(5, counted=False), MicroBatch(0)]
    assert item_counts(Counting(), parts).tolist() == [[3, 6], [0, 0], [0, 0]]
    assert item_counts(torch.nn.Module(), parts).tolist() == [[1], [0], [1]]
    assert item_counts(Counting(), parts).dtype == torch.int64
