from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stofm_pyg.data import CellTokens

#: The label of a token that is not to be predicted, as in PyTorch's cross-entropy.
IGNORED = -100


@dataclass(frozen=True)
class TokenBatch:
    r"""The tokens of some cells, one cell after another without padding, and what is to be predicted.

    With :obj:`num_views` views there are :math:`B = V \cdot N` rows for :math:`N` cells, view by view:
    view :math:`v` of cell :math:`i` is row :math:`v N + i`.

    **Shapes**, for :math:`B` rows of together :math:`T` tokens:
        - :obj:`tokens`: :math:`(T)`, int64
        - :obj:`lengths`: :math:`(B)`, int64, the number of tokens of each row
        - :obj:`labels`: :math:`(T)`, int64, the token to predict, -100 elsewhere
        - :obj:`cells`: :math:`(N)`, int64, the cells' numbers
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor | None = None
    cells: Tensor | None = None
    num_views: int = 1

    @staticmethod
    def take(cells: CellTokens, index: Tensor) -> "TokenBatch":
        r"""Returns some cells of many as a batch of one view, without labels.

        Args:
            cells (CellTokens): The cells.
            index (torch.Tensor): The numbers of the chosen ones :math:`(N)`.
        """
        chosen = cells[index]
        return TokenBatch(chosen.tokens.long(), chosen.lengths, cells=torch.as_tensor(index))

    @staticmethod
    def stack(views: Sequence["TokenBatch"]) -> "TokenBatch":
        r"""Returns several views of the same cells as one batch; it has labels if all have.

        Args:
            views (sequence of TokenBatch): The views, with as many rows each.
        """
        labels = [view.labels for view in views]
        return TokenBatch(
            torch.cat([view.tokens for view in views]),
            torch.cat([view.lengths for view in views]),
            None if any(part is None for part in labels) else torch.cat(labels),
            views[0].cells,
            len(views),
        )

    @property
    def num_tokens(self) -> int:
        r"""The number of tokens, of all views."""
        return self.tokens.numel()

    @property
    def ptr(self) -> Tensor:
        r"""Where each row begins and the last one ends :math:`(B + 1)`."""
        return F.pad(self.lengths.cumsum(0), (1, 0))

    @property
    def rows(self) -> Tensor:
        r"""The row of each token :math:`(T)`."""
        numbers = torch.arange(self.lengths.numel(), device=self.lengths.device)
        return numbers.repeat_interleave(self.lengths)

    def count(self, among: Tensor) -> Tensor:
        r"""Returns how many tokens of each row are among those of a mask :math:`(T)`, as int64
        :math:`(B)`."""
        return torch.bincount(self.rows[among], minlength=self.lengths.numel())

    def random_ranks(self, among: Tensor, generator: Generator) -> Tensor:
        r"""Returns the place, from zero, of each token in a random order of its row in which those of a
        mask come first.

        Args:
            among (torch.Tensor): The mask :math:`(T)`.
            generator (torch.Generator): The source of what is random.
        """
        score = torch.rand(among.shape, dtype=torch.float64, generator=generator)
        order = (2 * self.rows + ~among + score).argsort()
        places = torch.empty_like(order)
        places[order] = torch.arange(order.numel()) - self.ptr[self.rows]
        return places

    def to(self, device: torch.device | str) -> "TokenBatch":
        r"""Returns the batch on another device."""
        parts = {item.name: getattr(self, item.name) for item in fields(self)}
        tensors = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
        return replace(self, **{name: part.to(device) for name, part in tensors.items()})
