import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from stofm_pyg._files import write_atomically
from stofm_pyg._threads import one_thread
from stofm_pyg.transforms.clusters import leiden, neighbor_graph

# So many cells tell domains; so many small clusters are joined to them.
MAX_CELLS, MAX_SMALL, MAX_DOMAINS = 20_000, 100, 20
NUM_HALVES = 6


class Domains:
    r"""Tissue domains: groups of cells with like embeddings, nested in one another.

    Cells are divided into small clusters (k-means), which are joined pair by pair, those first whose
    join adds least to the sum of squares within (`Ward's method
    <https://doi.org/10.1080/01621459.1963.10500845>`_). Any number of domains is a cut of that tree, and
    a cell that was not there before belongs to the nearest small cluster.

    Args:
        mean (np.ndarray): The mean of each channel of an embedding :math:`(C)`.
        std (np.ndarray): Its standard deviation :math:`(C)`.
        centers (np.ndarray): The small clusters :math:`(K, C)`, standardised.
        merges (np.ndarray): The pairs that are joined, one after another :math:`(K - 1, 2)`; what is
            joined by the :math:`i`-th is number :math:`K + i`.
        sizes (np.ndarray): The number of cells in each small cluster :math:`(K)`.
        n (int): The number of domains.
    """

    def __init__(
        self,
        mean: np.ndarray,
        std: np.ndarray,
        centers: np.ndarray,
        merges: np.ndarray,
        sizes: np.ndarray,
        n: int,
    ):
        self.mean, self.std = mean, std
        self.centers, self.merges, self.sizes = centers, merges, sizes
        self.n = n
        self._tree = cKDTree(centers)

    @classmethod
    def fit(
        cls,
        z: np.ndarray,
        n: int | None = None,
        resolution: float | None = None,
        seed: int = 0,
    ) -> "Domains":
        r"""Finds the domains of cells.

        Args:
            z (np.ndarray): The embeddings of the cells of all slices :math:`(N, C)`.
            n (int, optional): The number of domains. (default: :obj:`None`)
            resolution (float, optional): The resolution of Leiden communities, of which there are then
                as many domains. Without both, the number is the largest one at which two halves of the
                cells agree as well as at the best, up to a standard error. (default: :obj:`None`)
            seed (int, optional): The seed. (default: :obj:`0`)

        Raises:
            ValueError: There are fewer cells than domains, both numbers are given, or one is out of its
                range.
        """
        if n is not None and resolution is not None:
            raise ValueError(f"Pass 'n' or 'resolution', not both (got {n} and {resolution})")
        if n is not None and (not isinstance(n, (int, np.integer)) or n < 1):
            raise ValueError(f"'n' must be a whole number of 1 or more (got {n!r})")
        if resolution is not None and not 0 < resolution < float("inf"):
            raise ValueError(f"'resolution' must be positive and finite (got {resolution})")
        if len(z) < max(2, n or 2):
            raise ValueError(f"{len(z)} cells cannot be divided into {n or 2} domains")
        z = np.asarray(z, dtype=np.float64)
        mean, std = z.mean(axis=0), z.std(axis=0)
        std[std < 1e-8] = 1.0
        points = (z - mean) / std
        rng = np.random.default_rng(seed)
        if len(points) > MAX_CELLS:
            points = points[np.sort(rng.choice(len(points), MAX_CELLS, replace=False))]
        with one_thread():
            centers, merges, sizes = _tree_of(points, seed, n or 2)
            if resolution is not None:
                graph = neighbor_graph(torch.from_numpy(points), 15)
                n = int(leiden(graph, resolution, "igraph", seed).max()) + 1
            elif n is None:
                n = _most_stable(points, rng)
        return cls(mean, std, centers, merges, sizes, min(n, len(centers)))

    def assign(self, z: np.ndarray, n: int | None = None) -> pd.Categorical:
        r"""Returns the domain of each cell :math:`(N)`, called :obj:`"0"` (the largest among the cells
        that it was fitted to), :obj:`"1"`, ...

        Args:
            z (np.ndarray): Embeddings :math:`(N, C)`.
            n (int, optional): The number of domains, if not that of the fit; fewer are joins of more.
                (default: :obj:`None`)

        Raises:
            ValueError: There are not so many domains, or embeddings have another size than those of the
                fit.
        """
        n = self.n if n is None else n
        if z.ndim != 2 or z.shape[1] != len(self.mean):
            raise ValueError(
                f"Embeddings have shape {list(z.shape)}, domains were found in ones of {len(self.mean)} "
                f"channels; make them by the same read-out, or find domains anew"
            )
        if not 1 <= n <= len(self.centers):
            raise ValueError(f"'n' must lie between 1 and {len(self.centers)} (got {n})")
        _, small = self._tree.query((np.asarray(z, dtype=np.float64) - self.mean) / self.std)
        codes = _cut(self.merges, self.sizes, n)[small]
        return pd.Categorical.from_codes(codes, categories=[str(number) for number in range(n)])

    def save(self, directory: str | os.PathLike):
        r"""Writes the domains to a folder, as a whole."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "mean": self.mean, "std": self.std, "centers": self.centers, "merges": self.merges,
            "sizes": self.sizes, "n": np.array([self.n]),
        }  # fmt: skip
        tensors = {key: torch.from_numpy(np.ascontiguousarray(v)) for key, v in values.items()}
        write_atomically(directory / "domains.safetensors", lambda part: save_file(tensors, part))

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "Domains":
        r"""Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: The file is damaged.
        """
        path = Path(directory) / "domains.safetensors"
        if not path.is_file():
            raise FileNotFoundError(
                f"'{directory}' has no '{path.name}'; copy the model again, as a whole"
            )
        try:
            values = {key: value.numpy() for key, value in load_file(path).items()}
            return cls(n=int(values.pop("n")[0]), **values)
        except (SafetensorError, TypeError, KeyError) as error:
            raise ValueError(f"'{path}' is damaged ({error}); save the model again") from error

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(n={self.n}, small={len(self.centers)})"


def _tree_of(
    points: np.ndarray, seed: int, at_least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = max(at_least, min(MAX_SMALL, len(points) // 10))
    means = KMeans(min(size, len(np.unique(points, axis=0))), n_init=1, random_state=seed).fit(points)
    weight = np.bincount(means.labels_, minlength=len(means.cluster_centers_)).astype(np.float64)
    return means.cluster_centers_, _ward(means.cluster_centers_, weight), weight


def _ward(centers: np.ndarray, weight: np.ndarray) -> np.ndarray:
    # The same as scipy's, but for clusters of different sizes.
    centers, weight = list(centers), list(weight)
    alive = list(range(len(centers)))
    merges = []
    while len(alive) > 1:
        at, size = np.array([centers[i] for i in alive]), np.array([weight[i] for i in alive])
        cost = ((at[:, None] - at[None]) ** 2).sum(axis=2)
        cost *= size[:, None] * size[None] / (size[:, None] + size[None])
        np.fill_diagonal(cost, np.inf)
        i, j = sorted(np.unravel_index(np.argmin(cost), cost.shape))
        merges.append((alive[i], alive[j]))
        total = size[i] + size[j]
        centers.append((size[i] * at[i] + size[j] * at[j]) / total)
        weight.append(total)
        alive = [a for k, a in enumerate(alive) if k not in (i, j)] + [len(centers) - 1]
    return np.array(merges, dtype=np.int64).reshape(-1, 2)


def _cut(merges: np.ndarray, sizes: np.ndarray, n: int) -> np.ndarray:
    # The domain of each small cluster; those of more cells come first.
    size = len(sizes)
    parent = np.arange(size + len(merges))
    for number, pair in enumerate(merges[: size - n]):
        parent[pair] = size + number
    for node in range(len(parent) - 1, -1, -1):
        parent[node] = parent[parent[node]]
    _, codes = np.unique(parent[:size], return_inverse=True)
    return np.argsort(np.argsort(-np.bincount(codes, sizes), kind="stable"))[codes]


def _most_stable(points: np.ndarray, rng: np.random.Generator) -> int:
    largest = min(MAX_DOMAINS, max(2, len(points) // 20))
    agreement = np.empty((NUM_HALVES, largest - 1))
    for trial in range(NUM_HALVES):
        order = rng.permutation(len(points))
        halves = []
        for half in np.array_split(order, 2):
            centers, merges, sizes = _tree_of(points[half], trial, largest)
            halves.append((merges, sizes, cKDTree(centers).query(points)[1]))
        for n in range(2, largest + 1):
            first, second = (_cut(m, sizes, min(n, len(sizes)))[small] for m, sizes, small in halves)
            agreement[trial, n - 2] = adjusted_rand_score(first, second)
    mean = agreement.mean(axis=0)
    best = int(mean.argmax())
    error = agreement[:, best].std() / NUM_HALVES**0.5
    return 2 + int(np.flatnonzero(mean >= mean[best] - error)[-1])
