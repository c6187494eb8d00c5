r"""How much of a feature is shared with a cell's neighbours, and features scaled by that."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from stofm_pyg.transforms.neighbors import nearest_neighbor_spacing, radius_edges

# Neighbours up to this distance, in spacings of cells.
REACH = 2.5


class SpatialSignal:
    r"""The autocorrelation of each feature in space: Moran's :math:`I` with equal weights for all
    neighbours, over slices in which features are centred, negative values set to zero.

    Args:
        slices (iterable): Features :math:`(N, F)` and positions :math:`(N, 2)` of the cells of each
            slice, the former centred.
    """

    def __init__(self, slices: Iterable[tuple[Tensor, Tensor]]):
        shared, squares, count = 0.0, 0.0, 0
        for x, pos in slices:
            x, pos = x.double(), pos.double()
            source, target = radius_edges(pos / nearest_neighbor_spacing(pos), REACH)[0]
            if source.numel() > 0:
                shared = shared + x.size(0) * _mean_product(x, source, target)
            squares = squares + x.square().sum(dim=0)
            count += x.size(0)
        if count < 2:
            raise ValueError(f"Features are scaled by two cells or more (got {count})")
        #: The autocorrelation :math:`(F)`.
        self.moran = (shared / squares.clamp(min=1e-12) + torch.zeros_like(squares)).clamp(min=0.0)
        #: The standard deviation :math:`(F)`.
        self.std = (squares / (count - 1)).sqrt()

    def factor(self) -> np.ndarray:
        r"""What features are multiplied by :math:`(F)`: they then have the standard deviation
        :math:`\sqrt{I}`, times one common factor, and a mean square of one.

        Neither unscaled components (the first is most of the loss) nor whitened ones (noise is) suit
        masked cell modelling, which can only predict what neighbours share.
        """
        varies = self.std > 0
        inverse = torch.where(varies, 1 / self.std.clamp(min=1e-12), 0.0)
        factor = inverse * self.moran.sqrt()
        size = (factor * self.std).square().mean().sqrt()
        if size == 0:  # Nothing is shared in space; then all features count alike.
            factor, size = inverse, torch.tensor(1.0)
        return (factor / size).numpy()


def _mean_product(x: Tensor, source: Tensor, target: Tensor) -> Tensor:
    total = torch.zeros(x.size(1), dtype=x.dtype)
    for part in torch.arange(source.numel()).split(2**20):  # Not all edges by features at once.
        total += (x[source[part]] * x[target[part]]).sum(dim=0)
    return total / source.numel()
