import anndata
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.corpus import slice_reader
from stofm_pyg.corpus.slice_reader import SliceReader


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(["csr", "csc", "dense"]),
    mixed=st.booleans(),
    step=st.integers(3, 30),
    in_layer=st.booleans(),
)
def test_rows_of_a_slice(make_adata, tmp_path, monkeypatch, form, mixed, step, in_layer):
    adata = make_adata(40, ("x", "y"), mixed=mixed)
    counts = adata.X.toarray()
    stored = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[form](counts)
    adata.X = None if in_layer else stored
    if in_layer:
        adata.layers["raw"] = stored
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    monkeypatch.setattr(slice_reader, "ROWS_PER_READ", step)
    monkeypatch.setattr(slice_reader, "VALUES_PER_READ", 10 * step)

    reader = SliceReader(path)
    assert repr(reader) == f"SliceReader('{path}', slices=2)"
    for name in ("x", "y"):
        rows = np.flatnonzero(adata.obs["slice"] == name)
        part = reader.read(name, layer="raw" if in_layer else None)
        assert reader.rows[name].tolist() == rows.tolist()
        assert sparse.issparse(part.X) and part.X.format == "csr" and part.X.dtype == np.float32
        np.testing.assert_array_equal(part.X.toarray(), counts[rows])
        np.testing.assert_array_equal(part.obsm["spatial"], adata.obsm["spatial"][rows])
        assert part.var_names.tolist() == adata.var_names.tolist()
        assert part.obs_names.tolist() == [str(row) for row in rows]


def test_only_the_rows_of_a_slice_are_read(make_adata, tmp_path, monkeypatch):
    make_adata(100, ("x", "y"), mixed=False).write_h5ad(tmp_path / "a.h5ad")
    read = []
    getitem = h5py.Dataset.__getitem__

    def spy(self, index, *args):
        out = getitem(self, index, *args)
        if self.name == "/X/data":
            read.append(np.size(out))
        return out

    reader = SliceReader(tmp_path / "a.h5ad")
    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    assert sum(read) == 0
    part = reader.read("y")
    assert sum(read) == part.X.nnz


def test_a_file_without_the_column_is_one_slice(make_adata, tmp_path):
    adata = make_adata(20)
    del adata.obs["slice"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert {name: len(rows) for name, rows in SliceReader(tmp_path / "a.h5ad").rows.items()} == {"": 20}
    with pytest.raises(ValueError, match="'section' is not in 'adata.obs'"):
        SliceReader(tmp_path / "a.h5ad", "section")


def test_errors(make_adata, tmp_path):
    path = tmp_path / "a.h5ad"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        SliceReader(path)
    make_adata(20).write_h5ad(path)
    reader = SliceReader(path)
    with pytest.raises(ValueError, match="'pixels' is not in 'adata.obsm', which holds 'spatial'"):
        reader.read("s0", spatial_key="pixels")
    with pytest.raises(ValueError, match="'raw' is not in 'adata.layers', which holds nothing"):
        reader.read("s0", layer="raw")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"3,000 bytes\) cannot be read: it is truncated"):
        SliceReader(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["obs"] = np.arange(3)
    with pytest.raises(ValueError, match="is no h5ad file, or one of a very old anndata"):
        SliceReader(tmp_path / "other.h5")


def test_no_counts(make_adata, tmp_path):
    adata = make_adata(20)
    anndata.AnnData(
        obs=adata.obs, var=adata.var, obsm=dict(adata.obsm), layers={"raw": adata.X}
    ).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match=r"'adata.X' is empty. Pass 'layer=' with one of \['raw'\]"):
        SliceReader(tmp_path / "a.h5ad").read("s0")
