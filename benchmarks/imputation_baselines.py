r"""What predicts held-out genes without an embedding: means over training cells.

Each takes the slices, a fold and the expression of the genes in the cells of each slice
:math:`(N, G)`, of which it reads training cells alone, and gives that of the test cells.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from benchmarks.data import BenchmarkData
from benchmarks.splits import Fold
from stofm_pyg.nn.node_type import cell_mask

NUM_NEIGHBORS = 15


def gene_mean(
    data: BenchmarkData, fold: Fold, truth: list[np.ndarray], without: int | None = None
) -> np.ndarray:
    r"""The mean over all training cells: what is known of a gene and of no cell."""
    mean = _of_training(truth, fold).mean(axis=0, dtype=np.float64)
    return np.tile(mean, (fold.test.size, 1))


def expression_neighbours(
    data: BenchmarkData, fold: Fold, truth: list[np.ndarray], without: int | None = None
) -> np.ndarray:
    r"""The mean over the 15 training cells, of any slice, that are nearest in expression: in the
    principal components of the genes that were kept, centred in each slice."""
    x = data.components(without)
    near = _nearest(_of_training(x, fold), x[fold.slice][fold.test])
    return _of_training(truth, fold)[near].mean(axis=1)


def space_neighbours(
    data: BenchmarkData, fold: Fold, truth: list[np.ndarray], without: int | None = None
) -> np.ndarray:
    r"""The mean over the 15 training cells of the slice that are nearest in space. Where the slice has
    none (:obj:`"cross"`), positions say nothing, and this is :meth:`gene_mean`."""
    rows = fold.train.get(fold.slice, np.empty(0, dtype=int))
    if rows.size == 0:
        return gene_mean(data, fold, truth)
    item = data.slices[fold.slice]
    pos = item.pos[cell_mask(item)].double().numpy()
    return truth[fold.slice][rows][_nearest(pos[rows], pos[fold.test])].mean(axis=1)


BASELINES = {
    "expression-neighbours": expression_neighbours,
    "space-neighbours": space_neighbours,
    "gene-mean": gene_mean,
}


def _of_training(parts: list[np.ndarray], fold: Fold) -> np.ndarray:
    return np.concatenate([parts[number][rows] for number, rows in fold.train.items()])


def _nearest(among: np.ndarray, of: np.ndarray) -> np.ndarray:
    number = min(NUM_NEIGHBORS, len(among))
    return NearestNeighbors(n_neighbors=number).fit(among).kneighbors(of, return_distance=False)
