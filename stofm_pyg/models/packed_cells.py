from typing import NamedTuple

import torch
from torch import Tensor


class PackedCells(NamedTuple):
    r"""Where things are in a batch of cells that are packed one after another without padding, shorter
    cells first, so that cells of one length are neighbours."""

    #: The cells, shortest first :math:`(N)`.
    cells: Tensor
    #: Where each packed token is among the tokens of all cells :math:`(T)`.
    index: Tensor
    #: The rank of each token in its cell :math:`(T)`.
    positions: Tensor
    #: Where each packed cell begins and the last one ends :math:`(N + 1)`.
    ptr: Tensor
    #: How many cells there are of each length, and the length.
    groups: list[tuple[int, int]]

    def to(self, device: torch.device) -> "PackedCells":
        r"""Moves the tensors to a device."""
        return PackedCells(*(part.to(device, non_blocking=True) for part in self[:4]), self.groups)


def pack_cells(ptr: Tensor, cells: Tensor | None = None) -> PackedCells:
    r"""Packs some cells of many.

    Args:
        ptr (torch.Tensor): Where each of the many cells begins and the last one ends, int64, on the CPU.
        cells (torch.Tensor, optional): The cells to pack; all if :obj:`None`. (default: :obj:`None`)
    """
    starts = ptr[:-1] if cells is None else ptr[cells]
    lengths = ptr.diff() if cells is None else ptr[cells + 1] - starts
    lengths, order = lengths.sort(stable=True)
    packed = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    positions = torch.arange(int(packed[-1])) - packed[:-1].repeat_interleave(lengths)
    index = starts[order].repeat_interleave(lengths) + positions
    sizes, counts = lengths.unique_consecutive(return_counts=True)
    groups = list(zip(counts.tolist(), sizes.tolist(), strict=True))
    return PackedCells(order if cells is None else cells[order], index, positions, packed, groups)
