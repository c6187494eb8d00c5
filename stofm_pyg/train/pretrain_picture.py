from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from torch import Tensor

from stofm_pyg.plot import plot_slice


def draw_clusters(pos: Tensor, embedding: Tensor, title: str, num_clusters: int = 8) -> Figure:
    r"""Draws the cells of a slice in the colours of the clusters of their embeddings.

    Args:
        pos (torch.Tensor): Positions :math:`(N, 2)`.
        embedding (torch.Tensor): Embeddings :math:`(N, C)`.
        title (str): The title.
        num_clusters (int, optional): The number of clusters (k-means). (default: :obj:`8`)
    """
    num_clusters = min(num_clusters, pos.size(0))
    cluster = KMeans(num_clusters, n_init=1, random_state=0).fit_predict(embedding.numpy())
    return plot_slice(pos, cluster, title=title).figure
