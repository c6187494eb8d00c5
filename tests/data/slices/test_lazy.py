import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stofm_pyg.data import from_anndata
from stofm_pyg.data.slices.counts import count_blocks, get_matrix
from stofm_pyg.data.slices.lazy import computed_rows, is_lazy, with_tables
from stofm_pyg.data.slices.reader import SliceReader, content_hash


class Rows:
    """A matrix that is computed some rows at a time, as dask's; remembers how many at once."""

    dask = {}

    def __init__(self, matrix, size, asked=None):
        self.matrix, self.size, self.asked = matrix, size, [] if asked is None else asked
        self.shape, self.ndim, self.dtype = matrix.shape, 2, matrix.dtype

    @property
    def chunks(self):
        number = self.shape[0]
        return [min(self.size, number - start) for start in range(0, number, self.size)], [self.shape[1]]

    def __getitem__(self, rows):
        return Rows(self.matrix[rows], self.size, self.asked)

    def compute(self):
        self.asked.append(self.shape[0])
        return self.matrix


def test_rows_are_computed_in_turn():
    counts = sparse.random(11, 4, 0.5, format="csr", random_state=0)
    lazy = Rows(counts, 4)
    assert is_lazy(lazy) and not is_lazy(counts) and not is_lazy(counts.toarray())
    parts = list(computed_rows(lazy))
    assert lazy.asked == [4, 4, 3]
    np.testing.assert_array_equal(sparse.vstack(parts).toarray(), counts.toarray())
    assert [part.shape[0] for part in computed_rows(lazy, 5)] == [5, 5, 1]


def test_an_anndata_in_memory_stays_itself(make_adata):
    adata = make_adata()
    assert with_tables(adata) is adata


@pytest.fixture
def lazy(make_adata, tmp_path):
    pytest.importorskip("dask", reason="lazy AnnData are of dask")
    pytest.importorskip("xarray", reason="lazy tables are of xarray")
    experimental = pytest.importorskip("anndata.experimental")
    if not hasattr(experimental, "read_lazy"):
        pytest.skip("this anndata has no 'read_lazy'")
    adata = make_adata(num_slices=2)
    adata.layers["raw"] = sparse.csc_matrix(adata.X)
    adata.write_zarr(tmp_path / "a.zarr")
    return adata, experimental.read_lazy(tmp_path / "a.zarr")


def test_lazy_anndata(lazy, same_data):
    adata, other = lazy
    assert not isinstance(other.obs, pd.DataFrame) and is_lazy(other.X)
    assert (get_matrix(with_tables(other)) != get_matrix(adata)).nnz == 0
    blocks = list(count_blocks(with_tables(other), rows=25))
    assert [block.shape[0] for block in blocks] == [25, 25, 10]
    for layer in (None, "raw"):
        settings = {"layer": layer, "slice_key": None, "virtual_cells": False, "num_features": 3}
        one, two = (from_anndata(source, labels="domain", **settings) for source in (adata, other))
        assert same_data(one, two)
    one, two = SliceReader(adata), SliceReader(other)
    for name in one.rows:
        assert content_hash(one.read(name)) == content_hash(two.read(name))
