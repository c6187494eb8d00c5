r"""Slices of spots whose mixtures nobody knows, beside simulated ones of a single-cell reference."""

import logging
from dataclasses import dataclass, field

import numpy as np
from anndata import AnnData
from scipy import sparse

from benchmarks.correlation import pearson_columns
from benchmarks.data import BenchmarkData
from benchmarks.profiles import marker_genes
from benchmarks.simulated_spots import divide_reference, simulate_spots
from benchmarks.splits import Fold
from benchmarks.spot_data import SpotData, joined, slice_names, slice_of_spots
from stofm_pyg.data.errors import unknown_key
from stofm_pyg.data.slices.components import log_normalize
from stofm_pyg.data.slices.counts import get_counts
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.nn.node_type import cell_mask

log = logging.getLogger(__name__)

MIN_SHARED_GENES = 20
NUM_EXAMPLES = 5
# Simulated slices to train on for each real one, and the share of reference cells that they are of.
NUM_TRAINING, TRAINING_SHARE = 2, 2 / 3


@dataclass
class ReferenceSpots(SpotData):
    r"""Real slices first, then the simulated ones: for each real one, some to train on, and one of
    reference cells that no other slice has, to test on.

    Args:
        real (list[int]): The numbers of the real slices.
        training (list[int]): The numbers of the simulated slices to train on.
        testing (list[int]): The number of the simulated slice to test on, for each real one.
        trained (tuple): Counts and types of the reference cells to train on.
    """

    real: list[int] = field(default_factory=list)
    training: list[int] = field(default_factory=list)
    testing: list[int] = field(default_factory=list)
    trained: tuple[sparse.csr_matrix, np.ndarray] | None = None

    def folds(self, split: str | None = None, seed: int = 0) -> list[Fold]:
        r"""One fold for each slice that is predicted, real or simulated; all train on the same."""
        train = {number: np.arange(len(self.truth[number])) for number in self.training}
        return [
            Fold(number, train, np.arange(len(self.truth[number])))
            for number in [*self.real, *self.testing]
        ]

    def cells(self, train: dict[int, np.ndarray]) -> tuple[sparse.csr_matrix, np.ndarray]:
        return self.trained

    def marker_agreement(self, number: int, prediction: np.ndarray) -> float:
        r"""Pearson's correlation over the spots of a slice of the share of a cell type and the mean
        log-normalised expression of its marker genes, mean over types. Markers are chosen on the
        reference alone."""
        counts = self.counts[number]
        target = float(np.median(np.asarray(counts.sum(axis=1))))
        expression = log_normalize(counts, target)
        found = []
        for code, genes in enumerate(marker_genes(*self.trained, len(self.classes))):
            if genes.size > 0:
                level = np.asarray(expression[:, genes].mean(axis=1)).reshape(-1, 1)
                found.append(pearson_columns(level, prediction[:, [code]])[0])
        found = np.array(found)
        known = found[~np.isnan(found)]
        return float(known.mean()) if known.size else 0.0


def reference_spots(
    spots: BenchmarkData, file: str, label: str, layer: str | None, cells_per_spot: int
) -> ReferenceSpots:
    r"""Puts simulated slices beside real ones, all over the genes that spots and reference share.

    Args:
        spots (BenchmarkData): The real slices of spots.
        file (str): The h5ad file of the single-cell reference.
        label (str): The column of its :obj:`obs` with the cell types.
        layer (str, optional): The layer of its raw counts; in :obj:`X` where there is no such layer.
        cells_per_spot (int): How many cells make a simulated spot.

    Raises:
        ValueError: The reference has no cell types, or the two have hardly a gene in common.
    """
    seed = spots.settings.seed
    reference, codes, classes = _read_reference(file, label, layer)
    counts, genes = spots.counts()
    cells, genes, columns = _shared(reference, file, genes)
    counts = [part[:, columns] for part in counts]
    train, test = divide_reference(codes, TRAINING_SHARE, seed)
    names = slice_names(spots)
    places = [item.pos[cell_mask(item)].double() for item in spots.slices]
    out, truth = [], []
    for name, part, pos in zip(names, counts, places, strict=True):
        out.append(slice_of_spots(name, part, genes, pos))
        truth.append(np.full((part.shape[0], len(classes)), np.nan))
    numbers = {"training": [], "testing": []}
    for which, (name, part, pos) in enumerate(zip(names, counts, places, strict=True)):
        totals = np.asarray(part.sum(axis=1)).reshape(-1)
        for draw in range(NUM_TRAINING + 1):
            kind = "training" if draw < NUM_TRAINING else "testing"
            rows = train if kind == "training" else test
            made, shares = simulate_spots(
                pos, totals, cells[rows], codes[rows], len(classes), cells_per_spot,
                seed=[seed, which, draw],
            )  # fmt: skip
            numbers[kind].append(len(out))
            out.append(slice_of_spots(f"{name}, simulated {draw} ({kind})", made, genes, pos))
            truth.append(shares)
    data = joined(out, truth, classes, spots, label)
    return ReferenceSpots(
        data, truth, classes, [], [part.X for part in out], real=list(range(len(names))),
        trained=(cells[train], codes[train]), **numbers,
    )  # fmt: skip


def _read_reference(file: str, label: str, layer: str | None) -> tuple[AnnData, np.ndarray, list[str]]:
    with opened_anndata(file) as adata:
        if label not in adata.obs:
            raise unknown_key(
                label, f"obs of the reference {file}", adata.obs.columns,
                "A reference needs the type of each cell; name its column with '--label'.",
            )  # fmt: skip
        codes, names = encode_labels(adata.obs, label, log=False)
        adata = adata.to_memory()
    codes, names = codes[label], names[label]
    number = np.bincount(codes[codes >= 0], minlength=len(names))
    kept = np.flatnonzero(number >= 2)
    if kept.size < 2:
        raise ValueError(
            f"The reference {file} has {kept.size} cell types of two cells or more in column '{label}'; "
            f"a deconvolution needs at least two. Name another column with '--label'"
        )
    if kept.size < (number > 0).sum():
        few = ", ".join(f"'{names[code]}'" for code in np.flatnonzero(number == 1))
        log.warning("Of %s the reference has a single cell: left out", few)
    renumbered = np.full(len(names) + 1, -1)
    renumbered[kept] = np.arange(kept.size)
    codes = renumbered[codes]
    rows = np.flatnonzero(codes >= 0)
    adata = adata[rows].copy()
    adata.X = get_counts(adata, layer if layer in adata.layers else None)
    return adata, codes[rows], [names[code] for code in kept]


def _shared(reference: AnnData, file: str, genes: list[str]):
    if not reference.var_names.is_unique:
        repeated = reference.var_names[reference.var_names.duplicated()][0]
        raise ValueError(
            f"The gene {repeated!r} is in the reference {file} more than once; call "
            f"'adata.var_names_make_unique()'"
        )
    place = reference.var_names.get_indexer(genes)
    columns = np.flatnonzero(place >= 0)
    if columns.size < MIN_SHARED_GENES:
        told = ", ".join(genes[column] for column in columns) or "none"
        raise ValueError(
            f"Spots and reference have {columns.size} genes in common ({told}), of {len(genes):,} and "
            f"{reference.n_vars:,}; at least {MIN_SHARED_GENES} are needed. The spots have, e.g., "
            f"{', '.join(genes[:NUM_EXAMPLES])}; {file} has, e.g., "
            f"{', '.join(map(str, reference.var_names[:NUM_EXAMPLES]))}. Give both the same kind of "
            f"names"
        )
    return reference.X[:, place[columns]], [genes[column] for column in columns], columns
