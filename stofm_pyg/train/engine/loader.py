import atexit
import re
import signal
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric.data import Batch, Data

from stofm_pyg.train.engine.batch_plan import BatchPlan
from stofm_pyg.train.engine.micro_batch import MicroBatch

# Where a tensor may begin, in bytes.
ALIGNMENT = 64
# How long a step is waited for, in seconds: the first regions of a large slice take minutes.
PATIENCE = 1800.0
ENDED = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)")


@dataclass(frozen=True)
class PackedData:
    r"""A :class:`~torch_geometric.data.Data` whose tensors lie in one buffer.

    A tensor goes from one process to another by a file that the other one asks for, which takes a
    millisecond each, and a subpatch has twenty. One buffer is one file.

    Args:
        buffer (torch.Tensor): The bytes of all tensors :math:`(B)`, uint8.
        layout (tuple): Name, type, shape and first byte of each tensor.
        others (dict): What is no tensor.
    """

    buffer: Tensor
    layout: tuple[tuple[str, torch.dtype, tuple[int, ...], int], ...]
    others: dict[str, Any]

    @classmethod
    def pack(cls, data: Data) -> "PackedData":
        r"""Packs a :class:`~torch_geometric.data.Data` on the CPU."""
        tensors, others, layout, size = {}, {}, [], 0
        for name, value in data.to_dict().items():
            if isinstance(value, Tensor):
                tensors[name] = value.contiguous()
                layout.append((name, value.dtype, tuple(value.shape), size))
                size += -(-value.numel() * value.element_size() // ALIGNMENT) * ALIGNMENT
            else:
                others[name] = value
        buffer = torch.empty(size, dtype=torch.uint8)
        for name, _, _, start in layout:
            raw = tensors[name].view(-1).view(torch.uint8)
            buffer[start : start + raw.numel()] = raw
        return cls(buffer, tuple(layout), others)

    def unpack(self) -> Data:
        r"""Returns it as it was; the tensors are views of the buffer."""
        values = dict(self.others)
        for name, dtype, shape, start in self.layout:
            size = torch.Size(shape).numel() * dtype.itemsize
            values[name] = self.buffer[start : start + size].view(dtype).view(shape)
        return Data.from_dict(values)

    def pin_memory(self) -> "PackedData":
        r"""Returns it with its buffer in pinned memory."""
        return PackedData(self.buffer.pin_memory(), self.layout, self.others)


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
        timeout (float, optional): How many seconds these may take for a step. (default: :obj:`1800.0`)
        **kwargs (optional): Additional arguments of :class:`torch.utils.data.DataLoader`, such as
            :obj:`pin_memory`.

    Raises:
        ChildProcessError: A process that loads was ended from outside.
        TimeoutError: One has not answered in time.
    """

    def __init__(
        self,
        dataset: Dataset,
        plan: BatchPlan,
        start: int = 0,
        end: int | None = None,
        micro_batch_size: int = 1,
        num_workers: int = 0,
        timeout: float = PATIENCE,
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
            timeout=timeout if num_workers > 0 else 0,
            **kwargs,
        )

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        iterator = super().__iter__()
        if self.num_workers > 0:
            # An interpreter that ends terminates its children by the signal that these ignore, and
            # would wait for them forever, if an error or a variable keeps the iterator until then.
            atexit.register(_end_workers, weakref.ref(iterator))
        return self._watched(iterator)

    def _watched(self, iterator: Iterator[list[MicroBatch]]) -> Iterator[list[MicroBatch]]:
        try:
            for step in iterator:
                yield _unpack(step)
        except RuntimeError as error:
            ended, late = ENDED.search(str(error)), "DataLoader timed out" in str(error)
            if ended is None and not late:
                raise
            for worker in getattr(iterator, "_workers", ()):
                worker.kill()  # They leave the signal that would end them.
            if late:
                raise TimeoutError(
                    f"The {self.num_workers} processes that load regions have not answered for "
                    f"{self.timeout:g} seconds; look whether the disk of the slices answers, and run it "
                    f"again, without such processes if need be ('num_workers=0')"
                ) from error
            raise ChildProcessError(
                f"A process that loads regions ({ended[1]}) was ended from outside, mostly a sign of "
                f"too little memory; with fewer of them ('num_workers', now {self.num_workers}) the "
                f"same run goes on from its last checkpoint"
            ) from error


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
