import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from stofm_pyg.train import BatchPlan, PlanLoader
from stofm_pyg.train.engine.loader import ALIGNMENT, PackedData
from tests.train.engine_case import Subpatches

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


def describe(step):
    return [(part.batch.name, part.batch.x, part.counted) for part in step]


def same(ours, theirs):
    return all(
        a[0] == b[0] and torch.equal(a[1], b[1]) and a[2] == b[2]
        for a, b in zip(ours, theirs, strict=True)
    )


def test_the_steps_of_the_plan():
    dataset = Subpatches()
    plan = BatchPlan(dataset.sizes, 4, 3, 2, seed=1)
    steps = list(islice(PlanLoader(dataset, plan, start=2), 4))
    for number, step in enumerate(steps, start=2):
        expected = plan.step(number)
        assert [part.counted for part in step] == [counted for *_, counted in expected]
        for part, (index, draw, _) in zip(step, expected, strict=True):
            assert isinstance(part.batch, Data) and part.names == [f"slice_{index}"]
            assert torch.equal(part.batch.x, dataset[index, draw].x)


def test_joined_subpatches():
    dataset = Subpatches()
    plan = BatchPlan(dataset.sizes, 5, 2, 0, seed=1)
    for step, (indices, draw, counted) in zip(
        PlanLoader(dataset, plan, end=6, micro_batch_size=2),
        [plan.micro_batches(number, 2)[0] for number in range(6)],
        strict=True,
    ):
        assert step[0].counted == counted and step[0].batch.ptr.numel() == len(indices) + 1
        assert torch.equal(step[0].batch.x, torch.cat([dataset[i, draw].x for i in indices]))
        pairs = torch.cat(
            [dataset[i, draw].pair_index + step[0].batch.ptr[k] for k, i in enumerate(indices)], dim=1
        )
        assert torch.equal(step[0].batch.pair_index, pairs)


def test_workers_load_the_same():
    dataset = Subpatches()
    plan = BatchPlan(dataset.sizes, 4)
    state = torch.get_rng_state()
    alone = [describe(step) for step in PlanLoader(dataset, plan, 1, 4)]
    helped = [describe(step) for step in PlanLoader(dataset, plan, 1, 4, num_workers=2)]
    assert len(alone) == 3 and all(map(same, alone, helped))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("start", "size"), [(0, 0), (-1, 1)])
def test_bad_arguments(start, size):
    plan = BatchPlan([1], 1)
    with pytest.raises(ValueError, match=rf"'micro_batch_size' must .* \(got {size} and {start}\)"):
        PlanLoader(Subpatches(1), plan, start, micro_batch_size=size)


def test_a_crash_does_not_wait_for_workers():
    # They ignore SIGTERM, by which an interpreter that ends would end them; the iterator is kept.
    script = (
        "from stofm_pyg.train import BatchPlan, PlanLoader\n"
        "from tests.train.engine_case import Subpatches\n"
        "data = Subpatches()\n"
        "steps = iter(PlanLoader(data, BatchPlan(data.sizes, 2), num_workers=1))\n"
        "next(steps)\n"
        "raise KeyError('what was wrong')"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, timeout=60)
    assert done.returncode == 1 and b"what was wrong" in done.stderr


class Odd(Subpatches):
    """A subpatch at which a process is killed, or does not go on."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def __getitem__(self, key):
        if torch.utils.data.get_worker_info() is not None:
            if self.what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return super().__getitem__(key)


@pytest.mark.parametrize(
    ("what", "error", "told"),
    [
        ("killed", ChildProcessError, r"A process that loads regions \(\d+\) was ended from outside"),
        ("hangs", TimeoutError, "The 1 processes that load regions have not answered for 1 seconds"),
    ],
)
def test_a_process_that_is_killed_or_hangs(what, error, told):
    data = Odd(what)
    plan = BatchPlan(data.sizes, 2)
    with pytest.raises(error, match=told):
        next(iter(PlanLoader(data, plan, num_workers=1, timeout=1.0)))
