from pathlib import Path

import h5py
import pytest

from stofm_pyg.data import from_anndata, open_anndata
from stofm_pyg.data.slices.files import file_names, file_paths, opened_anndata


@pytest.fixture(scope="module")
def path(make_adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("open") / "slice.h5ad"
    make_adata().write_h5ad(path)
    return path


def test_anndata_is_returned_as_it_is(make_adata):
    adata = make_adata()
    view = adata[:10]
    assert open_anndata(adata) is adata
    assert open_anndata(view) is view and view.is_view


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_path_is_opened_backed(path, kind):
    adata = open_anndata(kind(path))
    assert adata.isbacked and adata.shape == (60, 30)
    adata.file.close()


def test_context_closes_only_what_it_opened(path):
    with opened_anndata(path) as adata:
        assert adata.file.is_open
    assert not adata.file.is_open
    backed = open_anndata(path)
    with opened_anndata(backed) as same:
        assert same is backed
    assert backed.file.is_open
    backed.file.close()


def test_converting_leaves_the_file_closed_and_unchanged(path):
    before = path.read_bytes()
    from_anndata(path, virtual_cells=False)
    with h5py.File(path, "r+"):  # Fails while it is open elsewhere.
        pass
    assert path.read_bytes() == before


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file '.*gone.h5ad'.*Check the path"):
        open_anndata(tmp_path / "gone.h5ad")


def test_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder of none of the formats.*it holds nothing"):
        open_anndata(tmp_path)


@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_truncated(path, tmp_path, part):
    whole = path.read_bytes()
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError) as error:
        from_anndata(broken)
    message = str(error.value)
    assert str(broken) in message and f"({int(len(whole) * part):,} bytes)" in message
    assert "Download or copy it again" in message


def test_damaged_inside(path, tmp_path):
    broken = tmp_path / "damaged.h5ad"
    broken.write_bytes(path.read_bytes())
    with h5py.File(broken, "r+") as file:
        del file["obs"].attrs["_index"]
    with pytest.raises(ValueError, match="damaged.h5ad' .* cannot be read"):
        open_anndata(broken)


def test_not_hdf5(tmp_path):
    text = tmp_path / "notes.h5ad"
    text.write_text("cell,gene\n" * 10)
    with pytest.raises(ValueError, match=r"notes.h5ad' \(100 bytes\) cannot be read"):
        open_anndata(text)


def test_not_h5ad(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["matrix"] = [1, 2, 3]
    with pytest.raises(ValueError, match="no h5ad file: it has no obs and no var"):
        open_anndata(tmp_path / "other.h5")


def test_wrong_type():
    with pytest.raises(TypeError, match="got int"):
        open_anndata(3)


def test_one_or_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert file_paths("a.h5ad") == file_paths(Path("a.h5ad")) == [tmp_path / "a.h5ad"]
    assert file_paths([tmp_path / "b", "a"]) == [tmp_path / "b", tmp_path / "a"]
    monkeypatch.setenv("HOME", "/home/me")
    assert file_paths("~/x") == [Path("/home/me/x").resolve()]


def test_none_or_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'files' is empty"):
        file_paths([])
    with pytest.raises(ValueError, match="is in 'files' twice"):
        file_paths(["a", tmp_path / "a"])


def test_names_of_files():
    assert file_names([]) == []
    assert file_names([Path("/d/a.h5ad"), Path("/d/b.h5ad")]) == ["a", "b"]
    assert file_names([Path("/d/1/a.h5ad"), Path("/d/2/a.h5ad")]) == ["1/a", "2/a"]
    assert file_names([Path("/a.h5ad"), Path("/a.h5")]) == ["/a.h5ad", "/a.h5"]


def test_names_of_folders(tmp_path):
    for name in ("sample.1", "sample.2", "b.zarr", "c/outs"):
        (tmp_path / name).mkdir(parents=True)
    names = ["sample.1", "sample.2", "b.zarr", "c/outs", "d.gem.gz"]
    expected = ["sample.1", "sample.2", "b", "c", "d"]
    assert file_names([tmp_path / name for name in names]) == expected


def test_links_keep_their_names(tmp_path, monkeypatch):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    (blobs / "9f86d081").write_text("one")
    (snapshot / "donor1.h5ad").symlink_to("../blobs/9f86d081")
    (tmp_path / "data").symlink_to(snapshot)
    assert file_names(file_paths(snapshot / "donor1.h5ad")) == ["donor1"]
    assert file_paths(tmp_path / "data" / "donor1.h5ad") == [tmp_path / "data" / "donor1.h5ad"]
    monkeypatch.chdir(blobs)
    assert file_paths("../snapshot/donor1.h5ad") == [snapshot / "donor1.h5ad"]
    assert file_paths("../data/../blobs/x") == [tmp_path / "blobs" / "x"]


def test_two_names_of_one_file(tmp_path):
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").symlink_to("a")
    both = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ValueError) as error:
        file_paths(both)
    assert str(error.value) == (
        f"'{both[1]}' is in 'files' twice: '{both[0]}' is the same file. Name each file once."
    )
    assert file_paths(both, links=True) == both
    with pytest.raises(ValueError, match="twice"):
        file_paths([both[0], both[0]], links=True)
