from collections.abc import Sequence

import torch
from torch_geometric.data import Data

from stofm_pyg.nn import NodeType


def principal_features(slices: Sequence[Data], num_features: int) -> list[Data]:
    r"""Slices whose features are the principal components of those that they had: found over the cells
    of all slices together, centred in each.

    Embeddings of length one have most of their length in common, and a slice's technique shifts them
    all. A virtual cell's features stay the mean of its cells'.

    Args:
        slices (sequence of Data): Slices with features :math:`(N, F)`; not changed.
        num_features (int): The number of components; :math:`F` where that is less.
    """
    centred = []
    for data in slices:
        x = data.x.double()
        centred.append(x - x[data.node_type == NodeType.CELL].mean(dim=0))
    covariance = sum(
        x[data.node_type == NodeType.CELL].t() @ x[data.node_type == NodeType.CELL]
        for x, data in zip(centred, slices, strict=True)
    )
    vectors = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :num_features]
    # An eigenvector has no sign of its own: its largest weight shall be positive.
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    vectors = vectors * largest.sign()
    out = [data.clone() for data in slices]
    for data, x in zip(out, centred, strict=True):
        data.x = (x @ vectors).float()
    return out
