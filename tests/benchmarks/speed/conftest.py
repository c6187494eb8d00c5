import gc
import pickle
import resource

import anndata
import numpy as np
import pytest
from scipy import sparse

from benchmarks.speed import harness


@pytest.fixture
def here(monkeypatch):
    """Runs in this process what belongs into one of its own, as imports take longer than the rest."""
    monkeypatch.setattr(harness, "in_child", lambda function, *args: function(*args))
    monkeypatch.setattr(resource, "setrlimit", lambda *args: None)
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.fixture(scope="session")
def slice_and_vocab(tmp_path_factory):
    """Options that name a slice of 80 cells, and a vocabulary of its genes in the form of Geneformer."""
    folder = tmp_path_factory.mktemp("cells")
    counts = np.random.default_rng(0).poisson(0.6, (80, 30)).astype(np.float32)
    counts[5] = 0
    adata = anndata.AnnData(sparse.csr_matrix(counts))
    genes = adata.var_names = [f"ENSG{i:011d}" for i in range(30)]
    adata.write_h5ad(folder / "slice.h5ad")
    tables = {
        "token_dictionary": {"<pad>": 0, "<mask>": 1, **{gene: i + 2 for i, gene in enumerate(genes)}},
        "gene_median_dictionary": {gene: 0.5 + i % 4 for i, gene in enumerate(genes)},
        "gene_name_id_dict": {f"SYMBOL{i}": gene for i, gene in enumerate(genes)},
    }
    for name, table in tables.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(table))
    return ["--data", str(folder / "slice.h5ad"), "--vocab", str(folder)]
