import numpy as np
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from stofm_pyg.data.count_blocks import count_blocks


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
