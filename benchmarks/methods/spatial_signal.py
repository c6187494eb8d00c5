r"""How much of a feature is shared with a cell's neighbours, and features scaled by that."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType

# Neighbours up to this distance, in spacings of cells.
REACH = 2.5


def spatial_signal(slices: Sequence[Data]) -> Tensor:
    r"""The autocorrelation of each feature in space :math:`(F)`: Moran's :math:`I` with equal weights
    for all neighbours, over all slices, negative values set to zero.

    Args:
        slices (sequence of Data): Slices with features centred per slice, in units of spacings.
    """
    shared, total = 0.0, 0.0
    for data in slices:
        cells = data.node_type == NodeType.CELL
        source, target = data.edge_index[:, data.edge_attr.view(-1) <= REACH]
        if source.numel() > 0:
            shared = shared + cells.sum() * (data.x[source] * data.x[target]).mean(dim=0)
        total = total + data.x[cells].square().sum(dim=0)
    return (shared / total.clamp(min=1e-12) + torch.zeros_like(total)).clamp(min=0.0)


def scale_by_spatial_signal(slices: Sequence[Data]) -> list[Data]:
    r"""Slices whose features have the standard deviation :math:`\sqrt{I}`, times one common factor.

    Neither unscaled components (the first is most of the loss) nor whitened ones (noise is) suit masked
    cell modelling, which can only predict what neighbours share. No label is used.
    """
    x = torch.cat([data.x[data.node_type == NodeType.CELL] for data in slices])
    std = x.std(dim=0)
    factor = torch.where(std > 0, spatial_signal(slices).sqrt() / std.clamp(min=1e-12), 0.0)
    size = (x * factor).square().mean().sqrt()
    if size == 0:  # Nothing is shared in space; then all features count alike.
        factor, size = torch.where(std > 0, 1 / std.clamp(min=1e-12), 0.0), torch.tensor(1.0)
    out = [data.clone() for data in slices]
    for data in out:
        data.x = data.x * (factor / size)
    return out
