import importlib

import anndata
import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import get_matrix, validate_counts
from stofm_pyg.data.slices.counts import count_blocks, get_counts

module = importlib.import_module("stofm_pyg.data.slices.counts")
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
    real = module.canonical
    monkeypatch.setattr(
        module,
        "canonical",
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


FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "coo": sparse.coo_matrix}
FORMATS["dense"] = np.asarray


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_counts_pass(make, dtype):
    counts = np.array([[0, 3, 0], [255, 0, 1]], dtype=dtype)
    assert validate_counts(make(counts)) is None
    assert validate_counts(make(np.zeros((2, 3), dtype=dtype))) is None


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    "value, kind", [(-2.0, "negative"), (0.25, "fractional"), (np.nan, "non-finite")]
)
@given(cell=st.integers(0, 3), gene=st.integers(0, 4))
def test_names_the_value_its_cell_and_its_gene(make, value, kind, cell, gene):
    counts = np.ones((4, 5))
    counts[cell, gene] = value
    cells, genes = [f"cell{i}" for i in range(4)], [f"Gene{i}" for i in range(5)]
    with pytest.raises(ValueError) as error:
        validate_counts(make(counts), "adata.layers['norm']", cells, genes)
    message = str(error.value)
    assert f"found 1 {kind} values" in message and f": {value}" in message
    assert f"cell 'cell{cell}' (number {cell})" in message
    assert f"gene 'Gene{gene}' (number {gene})" in message
    assert "adata.layers['norm']" in message
    assert "'layer='" in message and "features='X_pca'" in message


def test_counts_the_wrong_values():
    with pytest.raises(ValueError, match="found 2 fractional values of 3: 0.5 in cell 0 and gene 1"):
        validate_counts(sparse.csr_matrix([[0, 0.5, 1], [0, 0, 1.5]]))


def test_negative_infinity_is_non_finite():
    with pytest.raises(ValueError, match="1 non-finite values of 2: -inf"):
        validate_counts(np.array([[-1.0, -np.inf]]))


def test_mends_that_fit_any_reader_of_counts():
    with pytest.raises(ValueError) as error:
        validate_counts(np.array([[0.5]]))
    assert "Pass 'layer=' with the layer that holds raw counts" in str(error.value)
    assert "'from_anndata' also takes an embedding" in str(error.value)


def test_rows_of_a_larger_matrix():
    names = [f"cell{i}" for i in range(3000)]
    with pytest.raises(ValueError) as error:
        validate_counts(np.array([[1, 2], [0.5, -1]]), cell_names=names, first_cell=2000)
    assert "found 1 negative values of 4 of cells 2,000 to 2,001: -1.0" in str(error.value)
    assert "in cell 'cell2001' (number 2001) and gene 1" in str(error.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(position=st.integers(0, 11), bad=st.sampled_from([np.nan, np.inf, -np.inf, -1, 1.5, None]))
def test_every_block_is_looked_at(dtype, position, bad):
    counts = np.arange(12, dtype=dtype).reshape(3, 4)
    if bad is not None:
        counts.flat[position] = bad
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "VALUES_PER_BLOCK", 5)
        if bad is None:
            validate_counts(counts)
        else:
            with pytest.raises(ValueError, match="found 1 "):
                validate_counts(counts)


def test_counts_of_x_or_layer(make_adata):
    adata = make_adata()
    adata.layers["double"] = adata.X * 2
    assert (get_counts(adata) != adata.X).nnz == 0
    assert (get_counts(adata, "double") != adata.X * 2).nnz == 0


@pytest.mark.parametrize("value, kind", [(-1.0, "negative"), (0.5, "fractional")])
def test_error_names_the_matrix_the_cell_and_the_gene(make_adata, value, kind):
    adata = make_adata()
    norm = adata.X.tolil()
    norm[7, 3] = value
    adata.layers["norm"] = norm.tocsr()
    with pytest.raises(ValueError) as error:
        get_counts(adata, "norm")
    message = str(error.value)
    assert f"'adata.layers['norm']', found 1 {kind} values" in message
    assert f"{value} in cell 'cell7' (number 7) and gene 'Gene3' (number 3)" in message


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 20, 100])
def test_blocks_are_all_rows_in_order(make_adata, tmp_path, make, backed, rows):
    adata = make_adata(num_cells=20)
    expected = adata.X.toarray()
    adata.X = make(adata.X)
    if backed:
        adata.write_h5ad(tmp_path / "slice.h5ad")
        adata = read_h5ad(tmp_path / "slice.h5ad", backed="r")
    blocks = list(count_blocks(adata, rows=rows))
    assert all(isinstance(block, sparse.csr_matrix) for block in blocks)
    sizes = [block.shape[0] for block in blocks]
    assert max(sizes) <= rows and sum(sizes) == 20
    np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), expected)
    if backed:
        adata.file.close()


def test_layer_and_view(make_adata):
    adata = make_adata(num_cells=20)
    adata.layers["double"] = adata.X * 2
    view = adata[[5, 3, 9]]
    blocks = list(count_blocks(view, "double", rows=2))
    assert [block.shape[0] for block in blocks] == [2, 1]
    expected = 2 * adata.X[[5, 3, 9]].toarray()
    np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), expected)


def test_rows_on_disk_are_read_in_blocks_only(make_adata, tmp_path, monkeypatch):
    make_adata(num_cells=20).write_h5ad(tmp_path / "slice.h5ad")
    adata = read_h5ad(tmp_path / "slice.h5ad", backed="r")
    sizes = []
    read = AnnData.X.fget

    def watch(self):
        sizes.append(self.n_obs)
        return read(self)

    monkeypatch.setattr(AnnData, "X", property(watch))
    assert len(list(count_blocks(adata, rows=8))) == 3
    assert sizes and max(sizes) == 8
    adata.file.close()


def test_without_counts():
    with pytest.raises(ValueError, match="'adata.X' is empty"):
        list(count_blocks(AnnData(shape=(3, 2))))


def test_unknown_layer(make_adata):
    with pytest.raises(ValueError, match="'raw' is not in 'adata.layers'"):
        list(count_blocks(make_adata(), "raw"))


@pytest.mark.parametrize("dtype", [np.float16, ">f4", ">i8", ">f2", object, bool, np.uint8])
def test_types_that_scipy_does_not_know(dtype, tmp_path):
    dense = COUNTS.astype(bool) if dtype is bool else COUNTS
    check(get_matrix(AnnData(dense.astype(dtype))), dense)
    if dtype is not object:
        AnnData(dense.astype(dtype)).write_h5ad(tmp_path / "a.h5ad")
        check(get_matrix(read_h5ad(tmp_path / "a.h5ad", backed="r")), dense)


@pytest.mark.parametrize("values", [COUNTS.astype(str), COUNTS + 1j, np.full((4, 3), "two", object)])
def test_what_are_no_numbers_is_refused(values):
    with pytest.raises(TypeError, match=r"'adata.X' holds values of type .*, which are no counts"):
        get_matrix(AnnData(values))


def test_what_is_masked_is_no_count():
    masked = np.ma.masked_array(COUNTS, mask=COUNTS == 7)
    adata = AnnData(COUNTS.astype(np.float32), layers={"raw": masked})
    with pytest.raises(ValueError, match="found 1 non-finite values"):
        get_counts(adata, "raw")
