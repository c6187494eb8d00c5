from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

# Where a tensor may begin, in bytes.
ALIGNMENT = 64


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
