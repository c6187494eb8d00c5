from torch import Tensor
from torch_geometric.utils import scatter


def scatter_mean(src: Tensor, index: Tensor, dim_size: int) -> Tensor:
    r"""The mean of the rows of :obj:`src` :math:`(N, *)` with the same index, :math:`(C, *)`."""
    try:
        import torch_scatter
    except ImportError:  # No compiler when it was set up: PyG's own gives the same answer.
        return scatter(src, index, dim=0, dim_size=dim_size, reduce="mean")
    return torch_scatter.scatter_mean(src, index, dim=0, dim_size=dim_size)
