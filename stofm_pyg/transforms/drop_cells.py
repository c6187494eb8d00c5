import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg._seeds import Draws
from stofm_pyg.nn.node_type import cell_mask


@functional_transform("drop_cells")
class DropCells(BaseTransform):
    r"""Leaves out some cells, so that training does not see the same subpatch twice (functional name:
    :obj:`drop_cells`).

    Edges among the others stay. Of ragged tokens (:obj:`data.tokens` and the :obj:`data.lengths` of the
    cells) those of the others stay. One cell always does.

    Args:
        rate (float): The probability of a cell to be left out.
        seed (int, optional): The seed; torch's global generator without. (default: :obj:`None`)

    Raises:
        ValueError: The rate is not in [0, 1).
    """

    def __init__(self, rate: float, seed: int | None = None):
        if not 0 <= rate < 1:
            raise ValueError(f"'rate' must lie in [0, 1) (got {rate})")
        self.rate = rate
        self.draws = Draws(seed)

    def forward(self, data: Data) -> Data:
        if self.rate == 0:
            return data
        is_cell = cell_mask(data)
        kept = torch.rand(data.num_nodes, generator=self.draws.generator()) >= self.rate
        if not (kept & is_cell).any():
            kept[is_cell.nonzero()[:1]] = True
        kept |= ~is_cell
        ragged = {key: data.pop(key) for key in ("tokens", "lengths") if key in data}
        data = data.subgraph(kept)
        if ragged:
            data.tokens, data.lengths = _take(ragged["tokens"], ragged["lengths"], kept[is_cell])
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(rate={self.rate})"


def _take(tokens: Tensor, lengths: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    return tokens[kept.repeat_interleave(lengths)], lengths[kept]
