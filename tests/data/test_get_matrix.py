import importlib

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from stofm_pyg.data import get_matrix

module = importlib.import_module("stofm_pyg.data.get_matrix")
COUNTS = np.array([[0, 2, 1], [0, 0, 0], [5, 0, 0], [1, 1, 7]])


def check(matrix, expected=COUNTS):
    assert isinstance(matrix, sparse.csr_matrix)
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format and matrix.data.all()
    assert np.array_equal(matrix.toarray(), expected)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_formats(make, dtype):
    adata = AnnData(make(COUNTS.astype(dtype)), layers={"raw": make(COUNTS.astype(dtype) * 2)})
    check(get_matrix(adata))
    check(get_matrix(adata, "raw"), COUNTS * 2)
    check(get_matrix(adata[[2, 0]]), COUNTS[[2, 0]])
    check(get_matrix(adata[:, [1]]), COUNTS[:, [1]])


def test_shares_what_needs_no_change():
    adata = AnnData(sparse.csr_matrix(COUNTS, dtype=np.float32))
    assert np.shares_memory(get_matrix(adata).data, adata.X.data)


def test_unsorted_duplicates_and_zeros_are_mended_in_a_copy():
    data, indices = np.array([1, 1, 1, 0, 5, 1, 1, 7], np.float32), [2, 1, 1, 0, 0, 1, 0, 2]
    adata = AnnData(sparse.csr_matrix((data, indices, [0, 4, 4, 5, 8]), shape=(4, 3)))
    check(get_matrix(adata))
    assert adata.X.indices.tolist() == indices and adata.X.data.tolist() == data.tolist()


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, np.array])
def test_backed(make, tmp_path, monkeypatch):
    path = tmp_path / "counts.h5ad"
    AnnData(make(COUNTS.astype(np.float64))).write_h5ad(path)
    # Blocks of every size, also one that does not divide the number of rows.
    for rows in (1, 3, 4, 100):
        monkeypatch.setattr(module, "ROWS_PER_READ", rows)
        adata = anndata.read_h5ad(path, backed="r")
        check(get_matrix(adata))
        check(get_matrix(adata[[3, 1, 2]]), COUNTS[[3, 1, 2]])
        check(get_matrix(adata[1:]), COUNTS[1:])
        check(get_matrix(adata[:0]), COUNTS[:0])
        assert adata.isbacked
        adata.file.close()


def test_backed_dense_is_never_read_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "dense.h5ad"
    AnnData(np.ones((10, 3), dtype=np.float32)).write_h5ad(path)
    monkeypatch.setattr(module, "ROWS_PER_READ", 4)
    rows = []
    real = module._canonical
    monkeypatch.setattr(
        module,
        "_canonical",
        lambda matrix, name: rows.append(matrix.shape[0]) or real(matrix, name),
    )
    adata = anndata.read_h5ad(path, backed="r")
    assert get_matrix(adata).shape == (10, 3)
    assert rows == [4, 4, 2]
    adata.file.close()


def test_errors(tmp_path):
    adata = AnnData(sparse.csr_matrix(COUNTS), layers={"counts": sparse.csr_matrix(COUNTS)})
    with pytest.raises(ValueError, match="'count' is not in 'adata.layers'.*mean 'counts'"):
        get_matrix(adata, "count")

    adata.X = None
    with pytest.raises(ValueError, match=r"'adata.X' is empty.*\['counts'\]"):
        get_matrix(adata)
    check(get_matrix(adata, "counts"))
    adata.write_h5ad(tmp_path / "no_x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "no_x.h5ad", backed="r")
    with pytest.raises(ValueError, match="'adata.X' is empty"):
        get_matrix(backed)
    backed.file.close()
