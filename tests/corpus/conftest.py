import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from stofm_pyg.corpus import build_corpus
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models.features import PCAFeatures


def _make_adata(num_cells=120, names=("s0",), seed=0, num_genes=30, mixed=True):
    """Whole counts (CSR), jittered lattice positions, and a column `slice` (mixed or in blocks)."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.7, 2.0, num_genes), (num_cells, num_genes)).astype("float32")
    adata = AnnData(sparse.csr_matrix(counts))
    adata.var_names = [f"GENE{i}" for i in range(num_genes)]
    side = int(np.ceil(np.sqrt(num_cells)))
    lattice = np.stack(np.divmod(np.arange(num_cells), side), axis=1)
    adata.obsm["spatial"] = 40.0 * lattice + rng.uniform(-10, 10, (num_cells, 2))
    number = np.arange(num_cells) * len(names) // num_cells
    adata.obs["slice"] = pd.Categorical(np.array(names)[rng.permutation(number) if mixed else number])
    return adata


@pytest.fixture(scope="session")
def make_adata():
    return _make_adata


@pytest.fixture(scope="session")
def vocab():
    genes = [f"GENE{i}" for i in range(28)]
    rng = np.random.default_rng(1)
    return GeneVocab(
        {gene: 2 + i for i, gene in enumerate(genes)},
        dict(zip(genes, rng.uniform(0.5, 3, len(genes)).tolist(), strict=True)),
    )


@pytest.fixture(scope="session")
def settings():
    return SliceSettings(cells_per_part=20, radius=2.5, num_features=5, max_length=12, max_clusters=6)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """`a` with one slice of 90 cells, `b` with three of 50 that lie mixed."""
    folder = tmp_path_factory.mktemp("files")
    _make_adata(90, seed=1).write_h5ad(folder / "a.h5ad")
    _make_adata(150, ("x", "y", "z"), seed=2).write_h5ad(folder / "b.h5ad")
    return [folder / "a.h5ad", folder / "b.h5ad"]


@pytest.fixture(scope="session")
def corpus(files, vocab, settings, tmp_path_factory):
    """Not to be changed."""
    return build_corpus(files, tmp_path_factory.mktemp("corpus"), vocab, settings)


@pytest.fixture(scope="session")
def readers(files, settings):
    return [SliceReader(file, settings) for file in files]


@pytest.fixture(scope="session")
def features(readers):
    """Principal components of the slices of all files."""
    slices = [reader.read(name) for reader in readers for name in reader.rows]
    return PCAFeatures.fit(slices, 5)


@pytest.fixture(scope="session")
def feature_corpus(files, features, settings, tmp_path_factory):
    """Of principal components in the place of tokens. Not to be changed."""
    out = tmp_path_factory.mktemp("feature_corpus")
    return build_corpus(files, out, settings=settings, features=features)
