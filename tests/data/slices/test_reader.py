import logging
import tempfile
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import SliceSettings
from stofm_pyg.data.slices import reader as module
from stofm_pyg.data.slices.reader import SliceReader, content_hash

FORMS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


@pytest.fixture
def make(make_adata):
    def make(num_cells=40, names=("x", "y"), mixed=True, seed=0):
        """Counts and positions of slices that lie mixed, or one after another, in the table."""
        adata = make_adata(num_cells, 12, seed=seed)
        number = np.arange(num_cells) * len(names) // num_cells
        if mixed:
            number = np.random.default_rng(seed).permutation(number)
        adata.obs["slice"] = pd.Categorical(np.array(names)[number])
        adata.obsm["X_own"] = np.random.default_rng(seed).standard_normal((num_cells, 3))
        return adata

    return make


def write(adata, path):
    """Writes an h5ad file with names as pandas 3 has them, too."""
    with anndata.settings.override(allow_write_nullable_strings=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_h5ad(path)
    return path


def write_as_anndata_07(adata, path):
    """Writes an h5ad file whose categorical columns are integers that refer to `__categories`."""
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for group in (file["obs"], file["var"]):
            group.attrs["encoding-version"] = "0.1.0"
            for key in list(group):
                if isinstance(group[key], h5py.Group) and "codes" in group[key]:
                    codes, categories = group[key]["codes"][:], group[key]["categories"][:]
                    del group[key]
                    kept = group.require_group("__categories").create_dataset(
                        key, data=categories, dtype=h5py.string_dtype()
                    )
                    kept.attrs["ordered"] = False
                    group.create_dataset(key, data=codes).attrs["categories"] = kept.ref
                elif isinstance(group[key], h5py.Dataset):
                    for attribute in ("encoding-type", "encoding-version"):
                        group[key].attrs.pop(attribute, None)
        for attribute in ("encoding-type", "encoding-version"):
            file.attrs.pop(attribute, None)
    return path


def check_slices(reader, adata, counts):
    """Whether a reader finds the slices of an AnnData as anndata itself does."""
    names = adata.obs["slice"].astype(str).to_numpy()
    assert set(reader.rows) == set(names) and reader.num_cells == adata.n_obs
    for name, rows in reader.rows.items():
        part = reader.read(name)
        assert rows.tolist() == np.flatnonzero(names == name).tolist()
        assert sparse.issparse(part.X) and part.X.format == "csr" and part.X.dtype == np.float32
        assert part.X.has_canonical_format and part.X.data.all()
        np.testing.assert_array_equal(part.X.toarray(), counts[rows])
        np.testing.assert_array_equal(part.obsm["spatial"], adata.obsm["spatial"][rows])
        assert list(part.obsm) == ["spatial"]
        assert part.var_names.tolist() == adata.var_names.astype(str).tolist()
        assert part.obs_names.tolist() == adata.obs_names[rows].astype(str).tolist()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(list(FORMS)),
    mixed=st.booleans(),
    step=st.integers(3, 30),
    in_layer=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64, np.int32]),
    compressed=st.booleans(),
)
def test_every_form_of_file(make, monkeypatch, form, mixed, step, in_layer, dtype, compressed):
    adata = make(mixed=mixed)
    counts = adata.X.toarray()
    stored = FORMS[form](counts.astype(dtype))
    adata.X = None if in_layer else stored
    if in_layer:
        adata.layers["raw"] = stored
    monkeypatch.setattr(module, "ROWS_PER_READ", step)
    monkeypatch.setattr(module, "VALUES_PER_READ", 10 * step)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5ad"
        adata.write_h5ad(path, compression="gzip" if compressed else None)
        where = SliceSettings(layer="raw" if in_layer else None)
        reader = SliceReader(path, where)
        assert repr(reader) == f"SliceReader('{path}', slices=2)"
        check_slices(reader, adata, counts)
        check_slices(SliceReader(adata, where), adata, counts)
        for source in (reader, SliceReader(adata, where)):
            for name, rows in source.rows.items():
                blocks = list(source.count_blocks(name))
                np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), counts[rows])
                assert form == "csc" or max(block.shape[0] for block in blocks) <= step


INDICES = {
    "object": lambda names: names.astype(object),
    "pandas 3": lambda names: names.astype("string"),
    "numbers as text": lambda names: pd.Index([str(i * 7) for i in range(len(names))]),
}
COLUMNS = {
    "categorical": lambda text: pd.Categorical(text, categories=["unused", "y", "x"]),
    "text": lambda text: np.array(text, dtype=object),
    "nullable text": lambda text: pd.array(text, dtype="string"),
    "integers": lambda text: np.array([10 if name == "x" else 9 for name in text]),
    "nullable integers": lambda text: pd.array([10 if n == "x" else 9 for n in text], dtype="Int64"),
    "booleans": lambda text: np.array([name == "x" for name in text]),
    "nullable booleans": lambda text: pd.array([n == "x" for n in text], dtype="boolean"),
}


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("column", COLUMNS)
def test_every_form_of_table(make, tmp_path, index, column):
    adata = make()
    counts = adata.X.toarray()
    text = adata.obs["slice"].astype(str).tolist()
    adata.obs["slice"] = COLUMNS[column](text)
    adata.obs.index = INDICES[index](adata.obs.index)
    adata.var.index = INDICES[index](adata.var.index)
    # What else is in the table does not matter.
    some = [None if i % 5 == 0 else i for i in range(40)]
    adata.obs["whole"] = pd.array(some, dtype="Int64")
    adata.obs["truth"] = pd.array([None if i is None else i % 2 == 0 for i in some], dtype="boolean")
    adata.obs["share"] = np.where(np.arange(40) % 3 == 0, np.nan, 0.5)
    path = write(adata, tmp_path / "a.h5ad")
    same = anndata.read_h5ad(path)
    in_file = SliceReader(path)
    check_slices(in_file, same, counts)
    check_slices(SliceReader(adata), adata, counts)
    assert list(in_file.rows) == list(SliceReader(adata).rows)
    if column == "categorical":
        assert list(in_file.rows) == ["y", "x"]


@pytest.mark.parametrize("column", ["categorical", "nullable text", "nullable integers"])
def test_a_cell_without_slice(make, tmp_path, column):
    adata = make()
    values = pd.Series(COLUMNS[column](adata.obs["slice"].astype(str).tolist()), adata.obs.index)
    values.iloc[7] = None
    adata.obs["slice"] = values
    path = write(adata, tmp_path / "a.h5ad")
    for source in (adata, path):
        with pytest.raises(ValueError, match=r"1 of 40 cells have no slice .*, the first in row 7\."):
            SliceReader(source)


def test_a_file_of_anndata_07(make, tmp_path):
    adata = make(names=("liver", "kidney"))
    reader = SliceReader(write_as_anndata_07(adata, tmp_path / "old.h5ad"))
    assert list(reader.rows) == ["kidney", "liver"]
    check_slices(reader, adata, adata.X.toarray())


@pytest.mark.parametrize("form", FORMS)
def test_object_view_backed_and_file_are_the_same(make, tmp_path, form):
    adata = make()
    adata.X = FORMS[form](adata.X.toarray())
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    sources = {
        "object": adata,
        "view": anndata.concat([adata])[np.arange(40)],
        "backed": backed,
        "view of backed": backed[np.arange(40)],
        "path": str(path),
    }
    assert sources["view"].is_view and sources["view of backed"].is_view
    for obsm in (None, "X_own"):
        want = {name: SliceReader(path).read(name, obsm) for name in ("x", "y")}
        for kind, source in sources.items():
            reader = SliceReader(source)
            assert list(reader.rows) == ["x", "y"], kind
            for name, part in want.items():
                assert content_hash(reader.read(name, obsm)) == content_hash(part), kind
    assert "'" not in repr(SliceReader(adata)) and repr(SliceReader(adata)).endswith("slices=2)")


def test_a_hash_of_all_that_is_read(make):
    def hash_of(change=None, obsm=None):
        adata = make(names=("x",))
        if change is not None:
            change(adata)
        return content_hash(SliceReader(adata).read("x", obsm))

    changes = [
        lambda adata: adata.X.data.__setitem__(0, 99),
        lambda adata: adata.obsm["spatial"].__setitem__((3, 1), 0),
        lambda adata: setattr(adata, "obs_names", [f"d{i}" for i in range(40)]),
        lambda adata: setattr(adata, "var_names", [f"h{i}" for i in range(12)]),
    ]
    assert len({hash_of(), hash_of(obsm="X_own"), *map(hash_of, changes)}) == 6
    assert hash_of(lambda adata: adata.obs.__setitem__("domain", "a")) == hash_of()


def test_counts_as_they_may_be_stored(make, tmp_path):
    adata = make(names=("x",))
    counts = adata.X.toarray()
    # Columns in falling order, one value in two parts, and a zero that is stored.
    row = [(int(j), float(v)) for j, v in enumerate(counts[0]) if v > 0][::-1]
    (first, value), rest = row[0], row[1:]
    empty = int(np.flatnonzero(counts[0] == 0)[0])
    pairs = [(first, value - 0.5), (first, 0.5), *rest, (empty, 0.0)]
    odd = sparse.csr_matrix(
        (np.float32([v for _, v in pairs]), [j for j, _ in pairs], [0, len(pairs)]), (1, 12)
    )
    adata.X = sparse.vstack([odd, sparse.csr_matrix(counts[1:])], format="csr")
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    check_slices(SliceReader(path), adata, counts)
    check_slices(SliceReader(adata), adata, counts)


def test_features_in_obsm(make, tmp_path):
    adata = make()
    frame = pd.DataFrame(adata.obsm["X_own"], columns=["a", "b", "c"], index=adata.obs_names)
    adata.obsm["X_frame"] = frame
    adata.obsm["X_sparse"] = sparse.csr_matrix(adata.obsm["X_own"])
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    for source in (adata, path):
        reader = SliceReader(source)
        for key in ("X_own", "X_frame", "X_sparse"):
            part = reader.read("y", key)
            assert part.X is None and part.shape == (len(reader.rows["y"]), 12)
            value = part.obsm[key]
            value = value.toarray() if sparse.issparse(value) else np.asarray(value)
            np.testing.assert_array_equal(value, adata.obsm["X_own"][reader.rows["y"]])
            assert content_hash(part) == content_hash(SliceReader(path).read("y", key))
        with pytest.raises(ValueError, match="'X_owm' is not in 'adata.obsm', .* mean 'X_own'"):
            reader.read("y", "X_owm")


def test_only_the_rows_of_a_slice_are_read(make, tmp_path, monkeypatch):
    make(100, mixed=False).write_h5ad(tmp_path / "a.h5ad")
    read = []
    getitem = h5py.Dataset.__getitem__

    def spy(self, index, *args):
        out = getitem(self, index, *args)
        if self.name == "/X/data":
            read.append(np.size(out))
        return out

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    reader = SliceReader(tmp_path / "a.h5ad")
    assert sum(read) == 0
    part = reader.read("y")
    assert sum(read) == part.X.nnz


def test_the_column_of_slices(make, tmp_path):
    adata = make()
    adata.obs["section"] = ["s2", "s1"] * 20
    path, without = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    adata.write_h5ad(path)
    other = adata.copy()
    del other.obs["slice"], other.obs["section"]
    other.write_h5ad(without)
    for source in (other, without):
        # Without a column of the default name: one slice. Any other must be there.
        reader = SliceReader(source)
        assert {name: len(rows) for name, rows in reader.rows.items()} == {"": 40}
        assert reader.read("").n_obs == 40
        with pytest.raises(ValueError, match="'section' is not in 'adata.obs'"):
            SliceReader(source, SliceSettings(slice_key="section"))
        reader = SliceReader(source, SliceSettings(slice_key="section"), required=False)
        assert list(reader.rows) == [""] and reader.settings.slice_key is None
        with pytest.raises(ValueError, match="'x' is not in 'reader.rows'"):
            reader.read("x")
    for source in (adata, path):
        reader = SliceReader(source, SliceSettings(slice_key="section"))
        assert {name: rows[:2].tolist() for name, rows in reader.rows.items()} == {
            "s2": [0, 2],
            "s1": [1, 3],
        }


def test_slices_that_would_be_one(make, tmp_path, caplog):
    adata = make(mixed=False)
    adata.write_h5ad(tmp_path / "apart.h5ad")
    one = SliceSettings(slice_key=None)
    for source in (adata, tmp_path / "apart.h5ad"):
        caplog.clear()
        assert list(SliceReader(source, one).rows) == [""]
        assert "tells 2 slices apart, which become one here" in caplog.text
    adata = make(mixed=True)
    adata.write_h5ad(tmp_path / "mixed.h5ad")
    for source in (adata, tmp_path / "mixed.h5ad"):
        for arguments in ((one,), (SliceSettings(slice_key="section"), False)):
            with pytest.raises(ValueError, match="of which 'x' and 'y' lie on one another"):
                SliceReader(source, *arguments)


def test_a_sole_slice_is_joined_without_a_word(make, caplog):
    with caplog.at_level(logging.DEBUG):
        SliceReader(make(names=("x",)), SliceSettings(slice_key=None))
    assert caplog.text == ""


def test_errors(make, tmp_path):
    path = tmp_path / "a.h5ad"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        SliceReader(path)
    with pytest.raises(TypeError, match="Expected an AnnData or the path of a file or folder, got int"):
        SliceReader(3)
    adata = make(20)
    adata.write_h5ad(path)
    for source in (adata, path):
        with pytest.raises(ValueError, match="'pixels' is not in 'adata.obsm'.* Pass 'spatial_key='"):
            SliceReader(source, SliceSettings(spatial_key="pixels")).read("x")
        with pytest.raises(ValueError, match="'raw' is not in 'adata.layers', which holds nothing"):
            SliceReader(source, SliceSettings(layer="raw")).read("x")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"3,000 bytes\) cannot be read: it is truncated"):
        SliceReader(path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["obs"] = np.arange(3)
    with pytest.raises(ValueError, match="is no h5ad file, or one of a very old anndata"):
        SliceReader(tmp_path / "other.h5")


def test_no_counts(make, tmp_path):
    adata = make(20)
    bare = anndata.AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm), layers={"raw": adata.X})
    bare.write_h5ad(tmp_path / "a.h5ad")
    for source in (bare, tmp_path / "a.h5ad"):
        with pytest.raises(ValueError, match=r"'adata.X' is empty. Pass 'layer=' with one of \['raw'\]"):
            SliceReader(source).read("x")
        assert SliceReader(source).read("x", "X_own").n_obs == 10


@pytest.mark.parametrize("form", FORMS)
def test_no_cells_or_no_genes(make, tmp_path, form):
    adata = make(20, names=("x",))
    adata.X = FORMS[form](adata.X.toarray())
    adata[:, :0].copy().write_h5ad(tmp_path / "genes.h5ad")
    assert SliceReader(tmp_path / "genes.h5ad").read("x").shape == (20, 0)
    empty = adata[:0].copy()
    del empty.obs["slice"]
    empty.write_h5ad(tmp_path / "cells.h5ad")
    assert SliceReader(tmp_path / "cells.h5ad").read("").shape == (0, 12)


def test_the_source_is_not_changed(make):
    adata = make()
    before = adata.copy()
    part = SliceReader(adata).read("x", "X_own")
    part.obs["more"], part.var["more"], part.obsm["more"] = 1, 1, np.zeros((part.n_obs, 1))
    assert list(adata.obs) == list(before.obs) and list(adata.var) == list(before.var)
    assert list(adata.obsm) == list(before.obsm) and (adata.X != before.X).nnz == 0


def test_what_a_whole_file_does_not_have_is_not_called_damage(make, tmp_path):
    adata = make()
    adata.obsm["X_pos"] = adata.obsm.pop("spatial")
    path = write(adata, tmp_path / "a.h5ad")
    for where, message in [
        (SliceSettings(), "'spatial' is not in 'adata.obsm', which holds 'X_own', 'X_pos'"),
        (SliceSettings(spatial_key="X_pos", layer="raw"), "'raw' is not in 'adata.layers'"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            SliceReader(path, where).read("x")
        assert "damaged" not in str(error.value)
    with pytest.raises(ValueError, match="'spatial' is not in 'adata.obsm'") as error:
        SliceReader(path, SliceSettings(slice_key=None))
    assert "damaged" not in str(error.value)


def test_positions_of_a_file_that_are_no_numbers(make, tmp_path):
    adata = make()
    pos = adata.obsm["spatial"].astype(str)
    pos[5, 0] = "far"
    adata.obsm["spatial"] = pd.DataFrame(pos, index=adata.obs_names, columns=["x", "y"])
    path = write(adata, tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match=rf"no numbers in row 5 \(cell '{adata.obs_names[5]}'\)"):
        SliceReader(path, SliceSettings(slice_key=None))


@pytest.mark.parametrize("dtype", [np.float16, ">i4"])
def test_counts_of_a_file_of_other_types(make, tmp_path, dtype):
    adata = make()
    expected = SliceReader(adata).read("x")
    adata.X = adata.X.toarray().astype(dtype)
    read = SliceReader(write(adata, tmp_path / "a.h5ad")).read("x")
    assert content_hash(read) == content_hash(expected)
