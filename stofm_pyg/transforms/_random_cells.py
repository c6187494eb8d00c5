import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.nn.node_type import cell_mask


def check_rate(rate: float) -> float:
    r"""Returns a share of cells between zero (excluded) and one, or raises."""
    if not 0 < rate <= 1:
        raise ValueError(f"'rate' must lie in (0, 1] (got {rate})")
    return rate


def random_cells(data: Data, rate: float, generator: torch.Generator | None) -> Tensor:
    r"""A random share of the cells of a slice (at least one), as sorted node indices."""
    cells = cell_mask(data).nonzero().view(-1)
    count = max(1, round(rate * cells.numel()))
    return cells[torch.randperm(cells.numel(), generator=generator)[:count]].sort().values
