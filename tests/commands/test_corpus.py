import logging

import anndata
import numpy as np
import pytest
from scipy import sparse

from stofm_pyg.cli import main
from stofm_pyg.corpus import Corpus
from stofm_pyg.data import GeneVocab


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


@pytest.mark.parametrize("share", ["2/2", "1", "a/b", "-1/2", "0/0"])
def test_a_wrong_share(folder, tmp_path, capsys, share):
    assert build(folder, "--out", tmp_path, "--vocab", "slices", f"--share={share}") == 2
    assert f"--share {share}: expected K/N" in capsys.readouterr().err


def test_wrong_input(tmp_path, capsys):
    assert build(tmp_path, "--out", tmp_path / "o", "--vocab", "slices") == 2
    assert "has no file '*.h5ad'" in capsys.readouterr().err
    assert build(tmp_path / "a.h5ad", "--out", tmp_path / "o", "--vocab", "slices") == 2
    assert "There is no file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["corpus"])
    assert stopped.value.code == 2
