r"""What a deconvolution runs on: spots, what is known of them, and a single-cell reference."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from benchmarks.data import BenchmarkData
from benchmarks.splits import Fold, cell_labels, check_labels, make_folds
from benchmarks.spots import bin_cells
from stofm_pyg.data import Keys
from stofm_pyg.nn.node_type import cell_mask

log = logging.getLogger(__name__)


@dataclass
class SpotData:
    r"""Slices of spots.

    Args:
        data (BenchmarkData): The spots, as slices that methods embed. Their label is the commonest type.
        truth (list[np.ndarray]): The share of each type in the spots of each slice :math:`(S, T)`; NaN
            where it is not known.
        classes (list[str]): The names of the types.
        reference (list): Counts of single cells :math:`(N, G)`, their types :math:`(N)`, and the spot in
            which each is :math:`(N)`, for each slice.
        counts (list[csr_matrix]): The counts of the spots of each slice over the genes of the reference.
    """

    data: BenchmarkData
    truth: list[np.ndarray]
    classes: list[str]
    reference: list[tuple[sparse.csr_matrix, np.ndarray, np.ndarray]]
    counts: list[sparse.csr_matrix] = field(default_factory=list)

    def folds(self, split: str, seed: int) -> list[Fold]:
        r"""Divides the spots, see :meth:`make_folds`."""
        return make_folds(split, self.data.slices, self.data.label, seed)

    def cells(self, train: dict[int, np.ndarray]) -> tuple[sparse.csr_matrix, np.ndarray]:
        r"""The single cells, and their types, of the spots that there are to train on: none from a
        spot that is tested on."""
        parts, codes = [], []
        for number, rows in train.items():
            counts, code, spot = self.reference[number]
            kept = np.isin(spot, rows)
            parts.append(counts[kept])
            codes.append(code[kept])
        return sparse.vstack(parts, format="csr"), np.concatenate(codes)


def binned_spots(cells: BenchmarkData, cells_per_spot: float, grid: str) -> SpotData:
    r"""Makes spots of the labelled slices of single cells, see :meth:`bin_cells`.

    Args:
        cells (BenchmarkData): Slices of single cells, with their types as the label.
        cells_per_spot (float): The mean number of cells of a spot.
        grid (str): :obj:`"square"` or :obj:`"hexagonal"`.

    Raises:
        ValueError: There are not two types, or a slice has too few cells.
    """
    label = cells.label
    check_labels(cells.slices, label, cells.classes)
    counts, genes = cells.counts()
    spots, truth, reference, summed = [], [], [], []
    for name, item, part in zip(slice_names(cells), cells.slices, counts, strict=True):
        codes = cell_labels(item, label)
        if not (codes >= 0).any():
            log.warning("Slice '%s' has no known '%s' and is left out", name, label)
            continue
        pos = item.pos[cell_mask(item)].double().numpy()
        try:
            made = bin_cells(part, pos, codes, len(cells.classes), cells_per_spot, grid)
        except ValueError as error:
            raise ValueError(f"Slice '{name}': {error}") from error
        spots.append(slice_of_spots(name, made.counts, genes, made.pos))
        truth.append(made.proportions)
        reference.append((part, codes, made.spot))
        summed.append(made.counts)
    data = joined(spots, truth, cells.classes, cells, label)
    return SpotData(data, truth, cells.classes, reference, summed)


def slice_names(data: BenchmarkData) -> list[str]:
    r"""The names of slices; one that has none, as it is all of its source, gets a number."""
    return [item.name or f"slice {number}" for number, item in enumerate(data.slices)]


def slice_of_spots(name: str, counts: sparse.csr_matrix, genes: Sequence[str], pos) -> AnnData:
    r"""One slice of spots as an AnnData, with positions :math:`(S, 2)`."""
    names = [f"{name} spot {number}" for number in range(counts.shape[0])]
    out = AnnData(counts, pd.DataFrame({Keys.SLICE: name}, index=names), pd.DataFrame(index=list(genes)))
    out.obsm[Keys.SPATIAL] = np.asarray(pos, dtype=np.float64)
    return out


def joined(
    spots: Sequence[AnnData],
    truth: Sequence[np.ndarray],
    classes: Sequence[str],
    cells: BenchmarkData,
    label: str,
) -> BenchmarkData:
    r"""Slices of spots as what methods embed, labelled with the commonest type where it is known.

    Args:
        spots (sequence of AnnData): The slices, with the same genes.
        truth (sequence of np.ndarray): The share of each type in the spots of each.
        classes (sequence of str): The names of the types.
        cells (BenchmarkData): What they were made of: for its settings.
        label (str): The name of the label.
    """
    for item, shares in zip(spots, truth, strict=True):
        known = np.isfinite(shares).all(axis=1)
        best = np.where(known, np.nan_to_num(shares).argmax(axis=1), -1)
        item.obs[label] = pd.Categorical.from_codes(best, list(classes))
    settings = cells.settings.replace(slice_key=Keys.SLICE, spatial_key=Keys.SPATIAL, layer=None)
    return BenchmarkData(list(spots), label, settings)
