import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor

from stofm_pyg._threads import one_thread
from stofm_pyg.data import Keys, validate_counts
from stofm_pyg.data.genes.names import column_names
from stofm_pyg.data.slices.components import genes_to_take
from stofm_pyg.data.slices.positions import get_positions
from stofm_pyg.data.slices.slice_components import SliceComponents, fit_slice_components
from stofm_pyg.models.features.base import Features
from stofm_pyg.models.features.spatial_signal import SpatialSignal

logger = logging.getLogger(__name__)

MIN_SHARED_GENES = 20
# Of the model's genes: with fewer a slice is refused, or a word is said.
MIN_SHARE, USUAL_SHARE = 0.5, 0.9
# So many cells tell components; more take memory alone.
MAX_CELLS = 100_000
NUM_EXAMPLES = 5


class PCAFeatures(Features):
    r"""Principal components of log-normalised counts, each gene standardised in each slice, scaled by
    what neighbours share of them (:class:`SpatialSignal`). Of more than 4,000 genes the 2,000 are taken
    whose expression varies most.

    Genes of a new slice are matched by name. Those that it lacks count as their mean, those that the
    model does not know are left out.

    Args:
        genes (sequence of str): The genes.
        target (float): The total count that each cell is scaled to.
        share (np.ndarray): The mean share that each gene has of a cell's counts :math:`(G)`.
        deviation (np.ndarray): The standard deviation of each gene within slices :math:`(G)`.
        loadings (np.ndarray): The weight of each gene in each component :math:`(G, F)`.
        factor (np.ndarray): What each component is multiplied by :math:`(F)`.
    """

    name = "pca"

    def __init__(
        self,
        genes: Sequence[str],
        target: float,
        share: np.ndarray,
        deviation: np.ndarray,
        loadings: np.ndarray,
        factor: np.ndarray,
    ):
        super().__init__()
        self.genes = list(genes)
        self.components = SliceComponents(target, share, deviation, loadings)
        self.factor = factor
        self._number = {gene: number for number, gene in enumerate(self.genes)}

    @classmethod
    def fit(
        cls,
        slices: Sequence[AnnData],
        num_features: int = 50,
        spatial_key: str = Keys.SPATIAL,
        seed: int = 0,
    ) -> "PCAFeatures":
        r"""Finds the components of some slices, over the genes that all of them have.

        Args:
            slices (sequence of AnnData): The slices, with counts as :obj:`X`.
            num_features (int, optional): The number of components. (default: :obj:`50`)
            spatial_key (str, optional): The key in :obj:`obsm` of the positions.
                (default: :obj:`"spatial"`)
            seed (int, optional): The seed of the choice of cells where there are more than 100,000.
                (default: :obj:`0`)

        Raises:
            ValueError: The slices have hardly a gene in common, a name is there twice, or counts are
                none.
        """
        genes = _shared_genes(slices)
        counts = []
        for adata in slices:
            validate_counts(adata.X, "adata.X", adata.obs_names, adata.var_names)
            counts.append(adata.X.tocsr()[:, adata.var_names.get_indexer(genes)])
        components = fit_slice_components(
            _some_cells(counts, seed), num_features, genes_to_take(len(genes))
        )
        centred = (
            (torch.from_numpy(components.transform(part)), torch.from_numpy(places))
            for part, places in zip(
                counts, (get_positions(adata, spatial_key) for adata in slices), strict=True
            )
        )
        return cls(genes, **components._asdict(), factor=SpatialSignal(centred).factor())

    @property
    def num_features(self) -> int:
        r"""The number of components."""
        return len(self.factor)

    def encode(self, adata: AnnData) -> Tensor:
        r"""Returns the features of the cells of one slice :math:`(N, F)`, float32; see
        :meth:`Features.encode`."""
        validate_counts(adata.X, "adata.X", adata.obs_names, adata.var_names)
        columns, genes = self.match(adata)
        with one_thread():
            x = self.components.transform(adata.X.tocsr()[:, columns], genes) * self.factor
        return torch.from_numpy(x.astype(np.float32))

    def encode_blocks(
        self, adata: AnnData, blocks: Callable[[], Iterable[sparse.csr_matrix]]
    ) -> Tensor:
        r"""Returns what :meth:`encode` does for the cells of one slice whose counts come in blocks, so
        that they need not be in memory all at once.

        Args:
            adata (AnnData): The cells and genes of the slice; its counts are not read.
            blocks (Callable): Returns the counts of the cells, some cells at a time; called twice.
        """
        columns, genes = self.match(adata)
        cells, columns_of = adata.obs_names, adata.var_names

        def own() -> Iterator[sparse.csr_matrix]:
            start = 0
            for counts in blocks():
                validate_counts(counts, "adata.X", cells, columns_of, first_cell=start)
                start += counts.shape[0]
                yield counts.tocsr()[:, columns]

        with one_thread():
            x = [
                (block * self.factor).astype(np.float32)
                for block in self.components.transform_blocks(own, genes)
            ]
        return torch.from_numpy(np.concatenate(x))

    def match(self, adata: AnnData) -> tuple[np.ndarray, np.ndarray]:
        r"""Returns which columns of a slice are which of the model's genes.

        Raises:
            ValueError: Fewer than half of the genes are there.
        """
        best, where = [], "adata.var_names"
        for column, names in column_names(adata).items():
            found = [(i, self._number[name]) for i, name in enumerate(names) if name in self._number]
            if len(found) > len(best):
                best, where = found, column
        matched = {gene: column for column, gene in reversed(best)}  # The first of equal names.
        missing = [gene for number, gene in enumerate(self.genes) if number not in matched]
        told = (
            f"{len(matched):,} of the model's {len(self.genes):,} genes are in '{where}' of the slice; "
            f"missing are, e.g., {', '.join(missing[:NUM_EXAMPLES])}"
        )
        if len(matched) < MIN_SHARE * len(self.genes):
            raise ValueError(
                f"Only {told}. The slice has, e.g., "
                f"{', '.join(map(str, adata.var_names[:NUM_EXAMPLES]))}. Give it the names that the "
                f"model was fitted with, or fit a model to it."
            )
        if len(matched) < USUAL_SHARE * len(self.genes):
            logger.warning("%s. They count as their mean", told)
        genes = np.array(sorted(matched))
        return np.array([matched[gene] for gene in genes.tolist()]), genes

    def config(self) -> dict[str, Any]:
        r"""The genes, and the total count of a cell."""
        return {"genes": self.genes, "target": self.components.target}

    def tensors(self) -> dict[str, np.ndarray]:
        r"""The numbers of genes and components."""
        values = self.components._asdict() | {"factor": self.factor}
        return {key: np.asarray(value) for key, value in values.items() if key != "target"}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(genes={len(self.genes)}, num_features={self.num_features})"


def _some_cells(counts: list[sparse.csr_matrix], seed: int) -> list[sparse.csr_matrix]:
    total = sum(part.shape[0] for part in counts)
    if total <= MAX_CELLS:
        return counts
    kept = np.sort(np.random.default_rng(seed).choice(total, MAX_CELLS, replace=False))
    starts = np.cumsum([0, *(part.shape[0] for part in counts)])
    rows = np.split(kept, np.searchsorted(kept, starts[1:-1]))
    return [part[own - start] for part, own, start in zip(counts, rows, starts[:-1], strict=True)]


def _shared_genes(slices: Sequence[AnnData]) -> list[str]:
    genes = slices[0].var_names
    for adata in slices:
        if not adata.var_names.is_unique:
            repeated = adata.var_names[adata.var_names.duplicated()][0]
            raise ValueError(
                f"The gene {repeated!r} is there more than once, so that genes cannot be matched by "
                f"name. Call 'adata.var_names_make_unique()'."
            )
        if genes is not adata.var_names:
            genes = genes[genes.isin(adata.var_names)]
    numbers = [adata.n_vars for adata in slices]
    if len(genes) < MIN_SHARED_GENES and max(numbers) > len(genes):
        raise ValueError(
            f"The slices have {len(genes)} genes in common (of {min(numbers):,} to {max(numbers):,}), "
            f"too few for principal components. Give all the same kind of gene names (here, e.g., "
            f"{slices[0].var_names[0]!r} and {slices[-1].var_names[0]!r}), or take other features: "
            f"'tokens', or a key that is in 'obsm' of each."
        )
    return genes.astype(str).tolist()
