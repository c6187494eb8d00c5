from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stofm_pyg.data import CellTokens

#: The label of a position that is not to be predicted, as in PyTorch's cross-entropy.
IGNORED = -100


@dataclass(frozen=True)
class TokenBatch:
    r"""Cells of similar length, padded to the longest.

    With :obj:`num_views` views there are :math:`B = V \cdot N` rows for :math:`N` cells, view by view:
    view :math:`v` of cell :math:`i` is row :math:`v N + i`.

    **Shapes**, for :math:`B` rows of :math:`L` tokens:
        - :obj:`input_ids`: :math:`(B, L)`, int64
        - :obj:`attention_mask`: :math:`(B, L)`, bool, false for padding
        - :obj:`labels`: :math:`(B, L)`, int64, the token to predict, -100 elsewhere
        - :obj:`cells`: :math:`(N)`, int64, the cells' numbers
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None = None
    cells: Tensor | None = None
    num_views: int = 1

    @property
    def num_tokens(self) -> int:
        r"""The number of tokens, padding included."""
        return self.input_ids.numel()

    def to(self, device: torch.device | str) -> "TokenBatch":
        r"""Returns the batch on another device."""
        names = ("input_ids", "attention_mask", "labels", "cells")
        moved = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(self, **{name: value.to(device) for name, value in moved.items()})


def pad_cells(cells: CellTokens, index: Tensor, pad_token_id: int) -> TokenBatch:
    r"""Returns chosen cells as a batch, padded at the end.

    Args:
        cells (CellTokens): The cells.
        index (torch.Tensor): The numbers of the chosen ones :math:`(N)`.
        pad_token_id (int): The token of padding.
    """
    chosen = cells[index]
    lengths = chosen.lengths
    width = int(lengths.max()) if len(chosen) else 0
    mask = torch.arange(width) < lengths[:, None]
    input_ids = torch.full(mask.shape, pad_token_id, dtype=torch.int64)
    input_ids[mask] = chosen.tokens.long()
    return TokenBatch(input_ids, mask, cells=torch.as_tensor(index))


def stack_views(views: list[TokenBatch], pad_token_id: int) -> TokenBatch:
    r"""Returns several views of the same cells as one batch, padded to the longest of them.

    Args:
        views (list[TokenBatch]): The views, with as many rows each.
        pad_token_id (int): The token of padding.
    """
    if len(views) == 1:
        return views[0]
    width = max(view.input_ids.size(1) for view in views)

    def join(name: str, fill: int | bool) -> Tensor | None:
        parts = [getattr(view, name) for view in views]
        if any(part is None for part in parts):
            return None
        pad = torch.nn.functional.pad
        return torch.cat([pad(part, (0, width - part.size(1)), value=fill) for part in parts])

    return TokenBatch(
        join("input_ids", pad_token_id),
        join("attention_mask", False),
        join("labels", IGNORED),
        views[0].cells,
        len(views),
    )
