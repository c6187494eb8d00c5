import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stofm_pyg.data import SliceSettings, read
from stofm_pyg.data.readers.stores import attributes, is_anndata_zarr
from stofm_pyg.data.slices.reader import SliceReader, content_hash

pytest.importorskip("zarr", minversion="3", reason="stores are written in both versions")

FORMS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": lambda matrix: matrix.toarray()}


def write_zarr(adata, path, version):
    with anndata.settings.override(zarr_write_format=version):
        adata.write_zarr(path)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_a_slice_of_zarr_is_that_of_h5ad(make_adata, tmp_path, version, form):
    adata = make_adata(num_slices=2)
    adata.layers["raw"] = FORMS[form](adata.X)
    adata.uns["spatial_unit"] = "pixel"
    adata.write_h5ad(tmp_path / "a.h5ad")
    store = write_zarr(adata, tmp_path / "a.zarr", version)
    assert is_anndata_zarr(store) and attributes(store)["encoding-type"] == "anndata"
    settings = SliceSettings(layer="raw")
    one, other = SliceReader(tmp_path / "a.h5ad", settings), SliceReader(store, settings)
    assert other.adata is None  # Nothing was read but the table of cells.
    assert {name: rows.tolist() for name, rows in one.rows.items()} == {
        name: rows.tolist() for name, rows in other.rows.items()
    }
    for name in one.rows:
        assert content_hash(one.read(name)) == content_hash(other.read(name))
    again = read(store)
    np.testing.assert_array_equal(again.X.toarray(), adata.X.toarray())
    pd.testing.assert_frame_equal(again.obs, adata.obs)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("array", ["obs/_index", "X/data"])
def test_a_store_that_lacks_some_of_its_files(make_adata, tmp_path, version, array):
    store = write_zarr(make_adata(), tmp_path / "a.zarr", version)
    chunks = [path for path in (store / array).rglob("*") if path.is_file() and path.name[0] not in ".z"]
    assert len(chunks) == 1
    chunks[0].unlink()
    for use in (read, SliceReader):
        with pytest.raises(ValueError, match=f"a.zarr' cannot be read.*'/{array}' there are 0 chunks"):
            use(store)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("array", "message"),
    [
        ("X/indptr", r"'X/indptr' ends at 0, there are \d+ values"),
        ("X/indices", "X/indices' there are 0 chunks instead of 1"),
        ("X/data", "X/data' there are 0 chunks instead of 1"),
        ("obsm/spatial", "obsm/spatial' there are 0 chunks instead of"),
        ("obs/_index", "obs/_index' there are 0 chunks instead of 1"),
        ("var/_index", "var/_index' there are 0 chunks instead of 1"),
    ],
)
def test_what_is_missing_of_a_store_is_no_zero(make_adata, tmp_path, version, array, message):
    store = write_zarr(make_adata(), tmp_path / "a.zarr", version)
    chunks = [p for p in (store / array).rglob("*") if p.is_file() and p.name[0] not in ".z"]
    assert chunks
    for path in chunks:
        path.unlink()
    for function in (read, SliceReader):
        with pytest.raises(ValueError, match=message):
            function(store)
