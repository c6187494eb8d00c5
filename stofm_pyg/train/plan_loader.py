import atexit
import signal
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric.data import Batch

from stofm_pyg.train.batch_plan import BatchPlan
from stofm_pyg.train.micro_batch import MicroBatch
from stofm_pyg.train.packed_data import PackedData


class PlanLoader(DataLoader):
    r"""Loads the steps of a :class:`BatchPlan`, each as a list of micro-batches, whose :obj:`batch` is a
    :class:`~torch_geometric.data.Data` of all its subpatches with :obj:`batch` and :obj:`ptr`.

    Args:
        dataset (Dataset): The subpatches; :obj:`dataset[index, draw]` is a
            :class:`~torch_geometric.data.Data`, in which what is random depends on both numbers alone.
        plan (BatchPlan): Which subpatches make up which step.
        start (int, optional): The number of steps done before. (default: :obj:`0`)
        end (int, optional): The number of steps after which to stop; without, it never does.
            (default: :obj:`None`)
        micro_batch_size (int, optional): How many subpatches are joined into one batch.
            (default: :obj:`1`)
        num_workers (int, optional): How many processes load. Signals that end a run do not end them, but
            the run does. (default: :obj:`0`)
        **kwargs (optional): Additional arguments of :class:`torch.utils.data.DataLoader`, such as
            :obj:`pin_memory`.
    """

    def __init__(
        self,
        dataset: Dataset,
        plan: BatchPlan,
        start: int = 0,
        end: int | None = None,
        micro_batch_size: int = 1,
        num_workers: int = 0,
        **kwargs,
    ):
        if micro_batch_size < 1 or start < 0:
            raise ValueError(
                f"'micro_batch_size' must be at least 1 and 'start' at least 0 (got {micro_batch_size} "
                f"and {start})"
            )
        # A loader draws a seed for its workers; from torch's global generator unless given its own.
        kwargs.setdefault("generator", torch.Generator().manual_seed(0))
        super().__init__(
            _MicroBatches(dataset),
            batch_sampler=_PlannedSteps(plan, start, end, micro_batch_size),
            collate_fn=list,
            num_workers=num_workers,
            worker_init_fn=_leave_signals,
            **kwargs,
        )

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        iterator = super().__iter__()
        if self.num_workers > 0:
            # An interpreter that ends terminates its children by the signal that these ignore, and
            # would wait for them forever, if an error or a variable keeps the iterator until then.
            atexit.register(_end_workers, weakref.ref(iterator))
        return map(_unpack, iterator)


class _MicroBatches(Dataset):
    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, part: tuple[list[int], int, bool]) -> MicroBatch:
        indices, draw, counted = part
        batch = Batch.from_data_list([self.dataset[i, draw] for i in indices])
        return MicroBatch(PackedData.pack(batch), counted)


class _PlannedSteps(Sampler):
    def __init__(self, plan: BatchPlan, start: int, end: int | None, size: int):
        self.plan, self.size = plan, size
        self.start, self.end = start, end

    def __iter__(self) -> Iterator[list[tuple[list[int], int, bool]]]:
        for step in count(self.start) if self.end is None else range(self.start, self.end):
            yield self.plan.micro_batches(step, self.size)


def _unpack(step: list[MicroBatch]) -> list[MicroBatch]:
    return [MicroBatch(part.batch.unpack(), part.counted) for part in step]


def _leave_signals(worker: int):
    # A terminal and a cluster signal the whole group; the process that trains ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end_workers(reference: "weakref.ref[Any]"):
    iterator = reference()
    if iterator is not None:
        iterator._shutdown_workers()
