import anndata
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from stofm_pyg.cli import main
from stofm_pyg.data import slices_from_anndata
from stofm_pyg.datasets import H5adSlices
from stofm_pyg.models import SToFM
from tests.models.fit_case import make_tissue

HOW = ["--radius", "2.5", "--max-clusters", "8", "--num-features", "5"]
CHANGES = {"radius": 2.5, "max_clusters": 8, "num_features": 5}


def convert(*args):
    return main(["convert", *map(str, args)])


def loaded(path):
    return [Data.from_dict(item) for item in torch.load(path, weights_only=True)]


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert set(a.keys()) == set(b.keys()) and a.name == b.name and a.classes == b.classes
        for key in a.keys():
            if isinstance(a[key], torch.Tensor):
                assert torch.equal(a[key], b[key]), key


def test_slices(files, tmp_path):
    out = tmp_path / "new" / "s.pt"
    assert convert(files.tissue, "--out", out, *HOW, "--label", "domain", "--label", "cell_type") == 0
    same(loaded(out), slices_from_anndata(files.tissue, labels=["domain", "cell_type"], **CHANGES))


def test_slices_of_several_files(tmp_path):
    adata = make_tissue()
    paths = [tmp_path / f"{number}.h5ad" for number in (0, 1)]
    for number, path in enumerate(paths):
        adata[adata.obs["slice"] == f"slice{number}"].copy().write_h5ad(path)
    assert convert(tmp_path, "--out", tmp_path / "s.pt", *HOW) == 0
    same(loaded(tmp_path / "s.pt"), list(H5adSlices(paths, **CHANGES)))


def test_slices_as_a_model_takes_them(files, tmp_path):
    assert convert(files.tissue, "--out", tmp_path / "s.pt", "--model", files.model) == 0
    model = SToFM.from_pretrained(files.model)
    slices = loaded(tmp_path / "s.pt")
    same(slices, model.slices(files.tissue))
    assert torch.equal(model.embed(slices[0]), model.embed(files.tissue)[:100])


def test_h5ad(files, tmp_path):
    assert convert(files.tissue, "--out", tmp_path / "t.h5ad") == 0
    one, other = anndata.read_h5ad(tmp_path / "t.h5ad"), make_tissue()
    assert (one.X != other.X).nnz == 0 and one.obs.equals(other.obs)


def test_counts_in_raw(tmp_path, capsys):
    adata = make_tissue()
    adata.raw = adata
    adata = adata[:, :20].copy()
    adata.X = adata.X.log1p()
    adata.write_h5ad(tmp_path / "log.h5ad")
    assert convert(tmp_path / "log.h5ad", "--out", tmp_path / "t.h5ad", "--raw") == 0
    one, other = anndata.read_h5ad(tmp_path / "t.h5ad"), make_tissue()
    assert (one.X != other.X).nnz == 0 and list(one.var_names) == list(other.var_names)
    np.testing.assert_array_equal(one.obsm["spatial"], other.obsm["spatial"])
    assert one.obs.equals(other.obs)


def test_of_another_format(files, tmp_path):
    pytest.importorskip("zarr", reason="zarr comes with the extra 'readers'")
    make_tissue().write_zarr(tmp_path / "t.zarr")
    assert convert(tmp_path / "t.zarr", "--out", tmp_path / "t.h5ad") == 0
    assert (anndata.read_h5ad(tmp_path / "t.h5ad").X != make_tissue().X).nnz == 0


def test_bad_input(files, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    again = tmp_path / "again.h5ad"
    again.write_bytes(files.tissue.read_bytes())
    for args, words in (
        ([files.tissue, "--out", tmp_path / "s.csv"], "must end in .h5ad or .pt"),
        ([files.tissue, "--out", tmp_path / "s.pt", "--raw"], "--raw is for .h5ad"),
        ([files.tissue, "--out", tmp_path / "s.h5ad", "--raw"], "has nothing in .raw"),
        ([files.tissue, again, "--out", tmp_path / "s.h5ad"], "written of one source (got 2)"),
        ([files.tissue, "--out", tmp_path / "s.pt", "--label", "kind"], "'kind'"),
        (
            [files.tissue, "--out", tmp_path / "s.pt", "--model", files.model, "--label", "domain"],
            "without",
        ),
        ([again, "--out", again], "is the file that is read; name another one, or pass --overwrite"),
        ([tmp_path / "none.h5ad", "--out", tmp_path / "s.pt"], "There is no file"),
        ([tmp_path / "empty", "--out", tmp_path / "s.pt"], "none of the formats"),
    ):
        assert convert(*args) == 2
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error
    assert not (tmp_path / "s.pt").exists() and not (tmp_path / "s.h5ad").exists()
    assert again.read_bytes() == files.tissue.read_bytes()
    assert convert(again, "--out", again, "--overwrite") == 0
