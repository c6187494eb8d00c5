import logging

import anndata
import numpy as np
import pytest
import torch
from scipy import sparse

from stofm_pyg.cli import main
from stofm_pyg.corpus import Corpus, FeatureStore
from stofm_pyg.data import GeneVocab
from stofm_pyg.data.slices.reader import SliceReader
from stofm_pyg.models import SToFM
from stofm_pyg.models.features import load_features
from tests.models.fit_case import SETTINGS, fitted, make_tissue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of 60 cells and 30 genes, with positions."""
    folder, rng = tmp_path_factory.mktemp("slices"), np.random.default_rng(0)
    for name in ("a", "b"):
        counts = rng.poisson(rng.gamma(0.5, 2.0, (60, 30))).astype("float32")
        adata = anndata.AnnData(sparse.csr_matrix(counts), obsm={"spatial": rng.random((60, 2))})
        adata.var_names = [f"GENE{i}" for i in range(30)]
        adata.obs["section"] = np.array(["left", "right"])[np.arange(60) % 2]
        adata.layers["raw"] = 2 * adata.X
        adata.write_h5ad(folder / f"{name}.h5ad")
    return folder


def build(*args):
    return main(["corpus", "build", *map(str, args)])


def test_a_folder_of_slices(folder, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert build(folder, "--out", tmp_path, "--vocab", "slices", "--cells-per-part", "20") == 0
    assert "2 slices, 120 cells in 6 subpatches" in caplog.text
    assert "'a': 60 cells in 3 subpatches, 30 of 30 genes with 100.0 % of the counts" in caplog.text
    corpus = Corpus(tmp_path)
    assert corpus.names == ["a", "b"] and corpus.num_cells == 120
    assert corpus.settings.cells_per_part == 20 and corpus.settings.max_length == 2048
    files = [folder / "a.h5ad", folder / "b.h5ad"]
    assert corpus.vocab == GeneVocab.from_slices(files)


def test_options(folder, tmp_path):
    GeneVocab.from_slices([folder / "a.h5ad"]).save(tmp_path / "v.json")
    options = ["--layer", "raw", "--slice-key", "section", "--radius", "3", "--max-length", "6"]
    options += ["--seed", "4", "--method", "grid", "--unit", "micron", "--microns-per-unit", "20"]
    assert build(folder / "a.h5ad", "--out", tmp_path, "--vocab", tmp_path / "v.json", *options) == 0
    corpus = Corpus(tmp_path)
    settings = corpus.settings
    assert corpus.names == ["a:left", "a:right"]
    assert (settings.layer, settings.radius, settings.seed, settings.method) == ("raw", 3.0, 4, "grid")
    assert int(corpus.shards[0].tokens().lengths.max()) == 6
    pos = corpus.shards[0].pos
    assert 10 < float((pos.amax(dim=0) - pos.amin(dim=0)).max()) <= 20


@pytest.mark.parametrize("name", ["auto", "pca", "X_own", "tokens"])
def test_features_in_the_place_of_tokens(folder, tmp_path, name):
    for file in folder.glob("*.h5ad"):
        adata = anndata.read_h5ad(file)
        adata.obsm["X_own"] = np.random.default_rng(1).normal(size=(60, 4))
        adata.write_h5ad(tmp_path / file.name)
    out = tmp_path / "corpus"
    assert build(tmp_path, "--out", out, "--features", name, "--num-features", 6) == 0
    corpus = Corpus(out)
    if name == "tokens":
        files = [folder / "a.h5ad", folder / "b.h5ad"]
        assert corpus.features is None and corpus.vocab == GeneVocab.from_slices(files)
        return
    assert corpus.features is not None and not corpus.has_tokens
    features = load_features(corpus.features)
    assert features.num_features == (4 if name == "X_own" else 6)
    store = FeatureStore(corpus.settings, corpus.features / features.fingerprint()[:16])
    reader = SliceReader(tmp_path / "a.h5ad")
    x = features.encode(reader.read_by_name("", features.obsm)[0])
    shard = corpus.shards[0]
    assert torch.equal(store.open(shard).get_tensor("x"), x[shard.order])


@pytest.mark.parametrize("name", ["pca", "tokens"])
def test_features_and_settings_of_a_saved_model(tmp_path, name):
    fitted(name).save_pretrained(tmp_path / "model")
    adata = make_tissue(seed=2)
    adata.obs["section"] = adata.obs.pop("slice")
    adata.write_h5ad(tmp_path / "a.h5ad")
    args = [tmp_path / "a.h5ad", "--out", tmp_path / "corpus", "--model", tmp_path / "model"]
    assert build(*args, "--slice-key", "section") == 0
    corpus = Corpus(tmp_path / "corpus")
    assert corpus.settings == SETTINGS.replace(slice_key="section") and len(corpus) == 2
    if name == "pca":
        features = load_features(corpus.features)
        assert features.fingerprint() == fitted().features.fingerprint()
    else:
        assert corpus.vocab == fitted("tokens").vocab


def test_a_model_without_features(folder, tmp_path, capsys):
    SToFM(5, 8, 1, heads=2, num_gaussians=4).save_pretrained(tmp_path / "model")
    assert build(folder, "--out", tmp_path / "o", "--model", tmp_path / "model") == 2
    assert "has no features that are made of counts" in capsys.readouterr().err


def test_shares(folder, tmp_path):
    common = [folder, "--out", tmp_path, "--vocab", "slices"]
    assert build(*common, "--share", "1/2") == 0
    assert Corpus(tmp_path).missing == ["a"]
    assert build(*common, "--share", "0/2") == 0
    assert Corpus(tmp_path).names == ["a", "b"] and Corpus(tmp_path).missing == []


def test_a_failure_is_told_and_is_exit_status_2(folder, tmp_path, capsys):
    adata = anndata.read_h5ad(folder / "a.h5ad")
    adata.obsm["spatial"][:] = 1.0
    adata.write_h5ad(tmp_path / "flat.h5ad")
    GeneVocab.from_slices([folder / "a.h5ad"]).save(tmp_path / "v.json")
    files = [tmp_path / "flat.h5ad", folder / "a.h5ad", folder / "b.h5ad"]
    assert build(*files, "--out", tmp_path / "out", "--vocab", tmp_path / "v.json") == 2
    error = capsys.readouterr().err
    assert "One slice failed" in error and "flat.h5ad'" in error and "different positions" in error
    assert Corpus(tmp_path / "out").names == ["a", "b"]


def test_sources_of_other_formats(folder, tmp_path):
    pytest.importorskip("zarr", reason="zarr comes with the extra 'readers'")
    anndata.read_h5ad(folder / "a.h5ad").write_zarr(tmp_path / "a.zarr")
    how = ["--num-features", 6, "--cells-per-part", 20]
    assert build(tmp_path / "a.zarr", folder / "b.h5ad", "--out", tmp_path / "one", *how) == 0
    assert build(folder, "--out", tmp_path / "two", *how) == 0
    one, two = Corpus(tmp_path / "one"), Corpus(tmp_path / "two")
    assert one.names == two.names == ["a", "b"]
    for a, b in zip(one.shards, two.shards, strict=True):
        assert torch.equal(a.pos, b.pos) and torch.equal(a.order, b.order)


@pytest.mark.parametrize("share", ["2/2", "1", "a/b", "-1/2", "0/0"])
def test_a_wrong_share(folder, tmp_path, capsys, share):
    assert build(folder, "--out", tmp_path, "--vocab", "slices", f"--share={share}") == 2
    assert f"--share {share}: expected K/N" in capsys.readouterr().err


def test_wrong_input(tmp_path, capsys):
    assert build(tmp_path, "--out", tmp_path / "o", "--vocab", "slices") == 2
    assert "is a folder of none of the formats that are read" in capsys.readouterr().err
    assert build(tmp_path / "a.h5ad", "--out", tmp_path / "o", "--vocab", "slices") == 2
    assert "There is no file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["corpus"])
    assert stopped.value.code == 2
