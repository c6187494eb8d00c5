import hashlib
from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
from anndata import AnnData
from scipy import sparse
from torch_geometric.data import Data

from stofm_pyg._files import file_hash
from stofm_pyg.data import SliceSettings, slices_from_anndata
from stofm_pyg.data.slices.components import fit_components, genes_to_take
from stofm_pyg.data.slices.files import file_paths
from stofm_pyg.data.slices.labels import encode_labels
from stofm_pyg.data.slices.reader import SliceReader, content_hash
from stofm_pyg.datasets import H5adSlices, SyntheticTissue
from stofm_pyg.models import SToFM
from stofm_pyg.nn.node_type import cell_mask

# Slices of generated tissue and cells in each, by the name of the preset.
TISSUE = {"tiny": (2, 400), "small": (3, 1000), "paper": (3, 10_000)}


class BenchmarkData:
    r"""What a benchmark runs on: h5ad files, slices in memory, or generated tissue.

    Args:
        files (sequence of str or AnnData, or None): The h5ad files, or slices in memory (not both);
            :obj:`None` for generated tissue.
        label (str, optional): The column of :obj:`obs` to predict.
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
        files: Sequence[str | AnnData] | None,
        label: str | None,
        settings: SliceSettings,
        preset: str = "small",
        missing_genes: float = 0.0,
    ):
        if not 0 <= missing_genes < 1:
            raise ValueError(f"'missing_genes' must lie in [0, 1) (got {missing_genes})")
        self.settings = settings
        self.label = label
        self.sources: list[str | AnnData] = list(files or [])
        labels = () if label is None else (label,)
        if not files:
            num_slices, cells = TISSUE[preset]
            tissue = SyntheticTissue(
                num_slices=num_slices, cells_per_slice=cells, seed=settings.seed, labels=labels
            )
            self.slices, self.sources = list(tissue), [tissue.adata]
        elif isinstance(files[0], AnnData):
            self.slices = _slices_of(self.sources, settings, labels)
        else:
            self.slices = list(H5adSlices(files, settings, labels=labels))
        #: Where the cells of each slice are: the number of its source, and their rows there.
        self.rows = _rows(self.slices, self.sources)
        self._hashes: list[str] = []
        if missing_genes > 0:
            self._leave_out_genes(missing_genes)
        self._components: dict[tuple[int | None, bool], list[np.ndarray]] = {}

    @property
    def classes(self) -> list[str]:
        r"""The names of the classes."""
        return self.slices[0].classes[self.label]

    def hashes(self) -> list[str]:
        r"""A hash of each source: of the file, or of what the slice in memory holds."""
        if not self._hashes:
            self._hashes = [
                _hash_of(s) if isinstance(s, AnnData) else _hash_of_path(Path(s)) for s in self.sources
            ]
        return self._hashes

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

    def embedded_by(self, model: SToFM, seed: int = 0, **where) -> list[np.ndarray]:
        r"""The embedding of the cells of each slice by a model; :obj:`where` is said to
        :meth:`SToFM.embed`."""
        return self.divide([model.embed_anndata(s, seed=seed, **where).numpy() for s in self.sources])

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


def _slices_of(sources: Sequence[AnnData], settings: SliceSettings, labels: Sequence[str]) -> list[Data]:
    # Classes are numbered over all sources, as those of files are.
    classes = {}
    for label in labels:
        encoded = [encode_labels(adata.obs, label, log=False)[1][label] for adata in sources]
        classes[label] = list(dict.fromkeys(name for names in encoded for name in names))
    out = []
    for number, adata in enumerate(sources):
        for data in slices_from_anndata(adata, settings, labels=labels, classes=classes):
            data.source = number
            out.append(data)
    return out


def _hash_of(adata: AnnData) -> str:
    digest = hashlib.sha256(content_hash(adata).encode())
    for key in adata.obs:
        digest.update("\n".join([key, *map(str, adata.obs[key])]).encode())
    return digest.hexdigest()


def _hash_of_path(path: Path) -> str:
    if path.is_file():
        return file_hash(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())  # Of a folder, as of zarr.
    text = "\n".join(f"{file.relative_to(path).as_posix()} {file_hash(file)}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()


def _rows(slices: Sequence[Data], sources: Sequence[str | AnnData]) -> list[tuple[int, np.ndarray]]:
    numbers = {}
    if not any(isinstance(source, AnnData) for source in sources):
        numbers = {str(path): number for number, path in enumerate(file_paths(sources))}
    return [
        (
            numbers.get(data.get("file"), data.get("source") or 0),
            data.cell_id[cell_mask(data)].numpy(),
        )
        for data in slices
    ]
