import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA as Components

from benchmarks.data import BenchmarkData
from benchmarks.peers.panel import variable_genes
from stofm_pyg.data.slices.components import log_normalize
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.transforms.neighbors import nearest_neighbors

MAX_GENES = 2000


class Banksy:
    r"""The features of `"BANKSY unifies cell typing and tissue domain segmentation for scalable spatial
    omics data analysis" <https://doi.org/10.1038/s41588-024-01664-3>`_: a cell's own expression beside
    the mean and the gradient of its neighbourhood, standardised in each slice, and their principal
    components.

    With weights :math:`w_j` that sum to one and fall with the distance to a neighbour as a Gaussian, the
    angle :math:`\varphi_j` at which it lies, and the mean :math:`\bar x` of the neighbours,

    .. math::
        m = \sum_j w_j x_j, \quad
        g = \left| \sum_j w_j (x_j - \bar x) e^{i \varphi_j} \right|, \quad
        b = \left[ \sqrt{1 - \lambda} \, x, \sqrt{2 \lambda / 3} \, m, \sqrt{\lambda / 3} \, g \right].

    Args:
        share (float, optional): The share :math:`\lambda` of the neighbourhood; 0.8 finds domains, 0.2
            cell types. (default: :obj:`0.8`)
        num_neighbors (int, optional): The neighbours of the mean; the gradient has twice as many.
            (default: :obj:`15`)
        num_components (int, optional): The number of principal components. (default: :obj:`20`)

    Raises:
        ValueError: If the share is out of bounds.
    """

    learns = True
    seeded = False

    def __init__(self, share: float = 0.8, num_neighbors: int = 15, num_components: int = 20):
        if not 0 <= share <= 1:
            raise ValueError(f"'share' must lie in [0, 1] (got {share})")
        self.share = share
        self.num_neighbors = num_neighbors
        self.num_components = num_components

    def embed(
        self, data: BenchmarkData, seed: int = 0, without: int | None = None
    ) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice."""
        counts, _ = data.counts()
        seen = [number for number in range(len(counts)) if number != without]
        columns = variable_genes([counts[number] for number in seen], MAX_GENES)
        totals = np.concatenate([np.asarray(counts[number].sum(axis=1)).reshape(-1) for number in seen])
        parts = [
            self.features(log_normalize(x, float(np.median(totals)))[:, columns], item)
            for x, item in zip(counts, data.slices, strict=True)
        ]
        joined = np.concatenate([parts[number] for number in seen])
        size = min(self.num_components, *joined.shape)
        found = Components(size, svd_solver="randomized", random_state=data.settings.seed).fit(joined)
        return [found.transform(part) for part in parts]

    def features(self, expression: sparse.csr_matrix, item) -> np.ndarray:
        r"""The features :math:`(N, 3 G)` of the cells of a slice."""
        pos = item.pos[cell_mask(item)].double()
        x = standardised(expression.toarray())
        mean = neighbourhood_mean(x, pos.numpy(), nearest_neighbors(pos, self.num_neighbors).numpy())
        near = nearest_neighbors(pos, 2 * self.num_neighbors).numpy()
        gradient = azimuthal_gradient(x, pos.numpy(), near)
        shares = (1 - self.share, 2 * self.share / 3, self.share / 3)
        blocks = zip(shares, (x, standardised(mean), standardised(gradient)), strict=True)
        return np.concatenate([np.sqrt(weight) * block for weight, block in blocks], axis=1)


def neighbour_weights(pos: np.ndarray, near: np.ndarray) -> np.ndarray:
    r"""The weights :math:`(N, k)` of neighbours, of sum one: a Gaussian of the distance, whose width is
    the median one."""
    distance = np.linalg.norm(pos[near] - pos[:, None], axis=2)
    width = np.maximum(np.median(distance, axis=1, keepdims=True), 1e-12)
    weight = np.exp(-np.square(distance / width))
    return weight / weight.sum(axis=1, keepdims=True)


def neighbourhood_mean(x: np.ndarray, pos: np.ndarray, near: np.ndarray) -> np.ndarray:
    r"""The weighted mean over neighbours :math:`(N, G)`."""
    return _sums(neighbour_weights(pos, near), near, x)


def azimuthal_gradient(x: np.ndarray, pos: np.ndarray, near: np.ndarray) -> np.ndarray:
    r"""The azimuthal Gabor filter of order one :math:`(N, G)`: how unevenly expression lies around a
    cell, whatever the direction."""
    step = pos[near] - pos[:, None]
    wave = neighbour_weights(pos, near) * np.exp(1j * np.arctan2(step[..., 1], step[..., 0]))
    total = wave.sum(axis=1, keepdims=True)
    real, imaginary = (
        _sums(part, near, x) - whole * x[near].mean(axis=1)
        for part, whole in ((wave.real, total.real), (wave.imag, total.imag))
    )
    return np.hypot(real, imaginary)


def standardised(x: np.ndarray) -> np.ndarray:
    r"""Each column with mean zero and, where it varies, a standard deviation of one."""
    deviation = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(deviation > 1e-8, deviation, 1.0)


def _sums(weight: np.ndarray, near: np.ndarray, x: np.ndarray) -> np.ndarray:
    size, k = near.shape
    pointers = np.arange(0, size * k + 1, k)
    return sparse.csr_matrix((weight.reshape(-1), near.reshape(-1), pointers), (size, len(x))) @ x
