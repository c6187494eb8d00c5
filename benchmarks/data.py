from collections.abc import Sequence

import anndata
import numpy as np
from anndata import AnnData
from scipy import sparse
from torch_geometric.data import Data

from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices.components import fit_components, genes_to_take
from stofm_pyg.data.slices.files import file_paths
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.datasets import H5adSlices, SyntheticTissue
from stofm_pyg.nn.node_type import cell_mask

# Slices of generated tissue and cells in each, by the name of the preset.
TISSUE = {"tiny": (2, 400), "small": (3, 1000), "paper": (3, 10_000)}


class BenchmarkData:
    r"""What a benchmark runs on: h5ad files, or generated tissue.

    Args:
        files (sequence of str or None): The h5ad files; :obj:`None` for generated tissue.
        label (str): The column of :obj:`obs` to predict.
        settings (SliceSettings): Where things are found in the files, and how slices are made.
        preset (str, optional): The size of generated tissue. (default: :obj:`"small"`)
        missing_genes (float, optional): The share of genes, random ones, that the first slice is made to
            lack; each slice is then a source of its own. (default: :obj:`0.0`)

    **Shapes**:
        - :obj:`slices`: the slices, as :class:`~torch_geometric.data.Data` with labels
        - :obj:`sources`: what they are made of, each a file or an AnnData
    """

    def __init__(
        self,
        files: Sequence[str] | None,
        label: str,
        settings: SliceSettings,
        preset: str = "small",
        missing_genes: float = 0.0,
    ):
        if not 0 <= missing_genes < 1:
            raise ValueError(f"'missing_genes' must lie in [0, 1) (got {missing_genes})")
        self.settings = settings
        self.label = label
        self.sources: list[str | AnnData] = list(files or [])
        if files:
            self.slices: list[Data] = list(H5adSlices(files, settings, labels=(label,)))
        else:
            num_slices, cells = TISSUE[preset]
            tissue = SyntheticTissue(
                num_slices=num_slices, cells_per_slice=cells, seed=settings.seed, labels=(label,)
            )
            self.slices, self.sources = list(tissue), [tissue.adata]
        #: Where the cells of each slice are: the number of its source, and their rows there.
        self.rows = _rows(self.slices, self.sources)
        if missing_genes > 0:
            self._leave_out_genes(missing_genes)
        self._components: dict[tuple[int | None, bool], list[np.ndarray]] = {}

    @property
    def classes(self) -> list[str]:
        r"""The names of the classes."""
        return self.slices[0].classes[self.label]

    def _leave_out_genes(self, share: float):
        read = [s if isinstance(s, AnnData) else anndata.read_h5ad(s) for s in self.sources]
        self.sources = [read[source][rows].copy() for source, rows in self.rows]
        self.rows = [(number, np.arange(adata.n_obs)) for number, adata in enumerate(self.sources)]
        first = self.sources[0]
        order = np.random.default_rng(self.settings.seed).permutation(first.n_vars)
        self.sources[0] = first[:, np.sort(order[round(share * first.n_vars) :])].copy()

    def sources_without(self, which: int | None) -> list[str | AnnData]:
        r"""The sources, one slice left out.

        Args:
            which (int, optional): The number of the slice.
        """
        if which is None:
            return self.sources
        source, rows = self.rows[which]
        out = list(self.sources)
        adata = out[source]
        adata = adata if isinstance(adata, AnnData) else anndata.read_h5ad(adata)
        kept = np.setdiff1d(np.arange(adata.n_obs), rows)
        out[source] = adata[kept].copy()
        return [item for item in out if isinstance(item, str) or item.n_obs > 0]

    def divide(self, embeddings: Sequence[np.ndarray]) -> list[np.ndarray]:
        r"""Divides the rows of each source among its slices."""
        return [embeddings[source][rows] for source, rows in self.rows]

    def components(self, without: int | None = None, scale: bool = False) -> list[np.ndarray]:
        r"""Principal components of the cells of each slice, centred in it, found on all slices or on all
        but one.

        Args:
            without (int, optional): The number of the slice left out. (default: :obj:`None`)
            scale (bool, optional): Divides each gene by its standard deviation. (default: :obj:`False`)
        """
        if (without, scale) not in self._components:
            counts, genes = self.counts()
            seen = [part for number, part in enumerate(counts) if number != without]
            top = genes_to_take(len(genes))  # As the model does.
            found = fit_components(
                sparse.vstack(seen, format="csr"),
                self.settings.num_features,
                scale=scale,
                top_genes=top,
                seed=self.settings.seed,
            )
            scores = [found.transform(part) for part in counts]
            self._components[without, scale] = [x - x.mean(axis=0) for x in scores]
        return self._components[without, scale]

    def counts(self) -> tuple[list[sparse.csr_matrix], list[str]]:
        r"""The counts of each slice over the genes that all have, and these."""
        read = [SliceReader(source, self.settings, required=False) for source in self.sources]
        parts = [reader.read(name) for reader in read for name in reader.rows]
        genes = parts[0].var_names
        for part in parts:
            genes = genes[genes.isin(part.var_names)]
        return [part.X[:, part.var_names.get_indexer(genes)] for part in parts], list(genes)


def _rows(slices: Sequence[Data], sources: Sequence[str | AnnData]) -> list[tuple[int, np.ndarray]]:
    numbers = {}
    if not any(isinstance(source, AnnData) for source in sources):
        numbers = {str(path): number for number, path in enumerate(file_paths(sources))}
    return [
        (numbers.get(data.get("file"), 0), data.cell_id[cell_mask(data)].numpy()) for data in slices
    ]
