r"""Slices without some of their genes, and what these express."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from torch_geometric.data import Data

from benchmarks.data import BenchmarkData
from benchmarks.splits import Fold, make_folds
from benchmarks.spot_data import slice_names
from stofm_pyg.data import Keys
from stofm_pyg.data.slices.components import log_normalize
from stofm_pyg.nn.node_type import cell_mask

log = logging.getLogger(__name__)

MIN_KEPT, MAX_HELD_OUT = 2, 1000
# A label that all cells have, by which all of them are divided into folds.
SCORED = "scored"


@dataclass
class HeldOutGenes:
    r"""Slices whose input lacks some genes.

    Args:
        data (BenchmarkData): The slices without them: nothing else is left of what they were made of but
            counts and positions, in which the genes could hide.
        truth (list[np.ndarray]): The log-normalised expression of these genes in the cells of each slice
            :math:`(N, G)`.
        genes (list[str]): Their names.
    """

    data: BenchmarkData
    truth: list[np.ndarray]
    genes: list[str]

    def folds(self, split: str, seed: int) -> list[Fold]:
        r"""Divides all cells, see :meth:`make_folds`."""
        return make_folds(split, self.data.slices, SCORED, seed)


def hold_out_genes(cells: BenchmarkData, share: float) -> HeldOutGenes:
    r"""Takes a random share of the genes that all slices have out of the slices.

    Expression is that of all shared genes: of each cell's total count, scaled to the median total,
    :math:`\log(1 + x)`.

    Args:
        cells (BenchmarkData): The slices; the seed of their settings draws the genes.
        share (float): The share to hold out; of very many genes, no more than 1,000.

    Raises:
        ValueError: The share does not lie between 0 and 1, or hardly a gene is left.
    """
    counts, genes = cells.counts()
    kept, held = choose_genes(genes, share, cells.settings.seed)
    totals = np.concatenate([np.asarray(part.sum(axis=1)).reshape(-1) for part in counts])
    target = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
    sources, truth = [], []
    for name, item, part in zip(slice_names(cells), cells.slices, counts, strict=True):
        expression = log_normalize(part, target)[:, held].toarray()
        truth.append(expression.astype(np.float32))
        sources.append(_slice_of(name, item, part[:, kept], [genes[column] for column in kept]))
    settings = cells.settings.replace(slice_key=Keys.SLICE, spatial_key=Keys.SPATIAL, layer=None)
    data = BenchmarkData(sources, SCORED, settings)
    return HeldOutGenes(data, truth, [genes[column] for column in held])


def choose_genes(genes: Sequence[str], share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Divides genes at random into those that are kept and those that are held out, as rising numbers.

    Args:
        genes (sequence of str): The genes.
        share (float): The share to hold out, at least one gene, and no more than 1,000.
        seed (int): The seed.

    Raises:
        ValueError: The share does not lie between 0 and 1, or fewer than two genes are kept.
    """
    if not 0 < share < 1:
        raise ValueError(f"--genes, the share to hold out, must lie between 0 and 1 (got {share:g})")
    wanted = max(1, round(share * len(genes)))
    if len(genes) - wanted < MIN_KEPT:
        raise ValueError(
            f"--genes {share:g} leaves {len(genes) - wanted} of {len(genes)} genes to predict the "
            f"others from; hold out fewer, or give slices with more genes in common"
        )
    number = min(wanted, MAX_HELD_OUT)
    if number < wanted:
        log.warning("%d genes are held out, not %d of %d", number, wanted, len(genes))
    order = np.random.default_rng(seed).permutation(len(genes))
    return np.sort(order[number:]), np.sort(order[:number])


def _slice_of(name: str, item: Data, counts: sparse.csr_matrix, genes: list[str]) -> AnnData:
    names = [f"{name} cell {number}" for number in range(counts.shape[0])]
    obs = pd.DataFrame({Keys.SLICE: name, SCORED: "yes"}, index=names)
    out = AnnData(counts, obs, pd.DataFrame(index=genes))
    out.obsm[Keys.SPATIAL] = item.pos[cell_mask(item)].double().numpy()
    return out
