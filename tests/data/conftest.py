import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse


def _make_adata(num_cells=60, num_genes=30, num_slices=1, seed=0):
    """Counts (CSR float32), jittered lattice positions, `slice`, and `domain` with some NaN."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1.0, 1.0, size=num_genes), size=(num_cells, num_genes))
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    adata.obs_names = [f"cell{i}" for i in range(num_cells)]
    adata.var_names = [f"Gene{i}" for i in range(num_genes)]

    side = int(np.ceil(np.sqrt(num_cells)))
    lattice = np.stack(np.divmod(np.arange(num_cells), side), axis=1)
    adata.obsm["spatial"] = 40.0 * lattice + rng.uniform(-10, 10, size=(num_cells, 2)) + 5000.0

    names = np.array([f"s{i}" for i in range(num_slices)])
    adata.obs["slice"] = pd.Categorical(names[rng.permutation(np.arange(num_cells) % num_slices)])
    domain = rng.integers(-1, 3, size=num_cells)
    adata.obs["domain"] = pd.Categorical.from_codes(domain, categories=["L1", "L2/3", "WM"])
    return adata


@pytest.fixture(scope="session")
def make_adata():
    return _make_adata


def _same_data(first, second):
    """Whether two slices hold the same keys with exactly equal values of the same types."""
    if set(first.keys()) != set(second.keys()):
        return False
    for key in first.keys():
        one, other = first[key], second[key]
        if hasattr(one, "dtype"):
            if one.dtype != other.dtype or not one.equal(other):
                return False
        elif one != other:
            return False
    return True


@pytest.fixture(scope="session")
def same_data():
    return _same_data
