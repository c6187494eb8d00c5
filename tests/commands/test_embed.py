"""`embed` in parts: the file that it writes, by one process and by several."""

import os
import subprocess

import anndata
import numpy as np
import pytest

from stofm_pyg.cli import main
from stofm_pyg.commands import embed
from stofm_pyg.commands.kept_embedding import kept_embedding
from stofm_pyg.models import SToFM
from tests.forked_stofm import forked_stofm
from tests.models.fit_case import fitted, make_tissue


def run(*args):
    return main(["embed", *(str(arg) for arg in args)])


@pytest.fixture(scope="module")
def z():
    return fitted().embed_anndata(make_tissue()).numpy()


def test_the_copy_is_the_file_with_the_embedding(files, tmp_path, z, monkeypatch):
    monkeypatch.setattr(embed, "read", None)  # The counts are not read for it.
    before, out = files.tissue.read_bytes(), tmp_path / "new" / "out.h5ad"
    args = [files.model, files.tissue, "--parts", tmp_path / "parts", "--out", out]
    assert run(*args, "--key-added", "mine") == 0
    assert files.tissue.read_bytes() == before
    written, source = anndata.read_h5ad(out), anndata.read_h5ad(files.tissue)
    assert np.abs(written.obsm["mine"] - z).max() <= 1e-5 and written.obsm["mine"].dtype == np.float32
    assert (written.X != source.X).nnz == 0 and written.obs.equals(source.obs)
    assert set(written.obsm) == {*source.obsm, "mine"}
    assert set(written.uns) == {*source.uns, "mine_made_of"}
    model = SToFM.from_pretrained(files.model)
    assert np.array_equal(kept_embedding(written, "mine", model, 0), written.obsm["mine"])
    assert kept_embedding(written, "mine", model, 1) is None
    assert [path.name for path in out.parent.iterdir()] == ["out.h5ad"]


def test_the_embedding_alone(files, tmp_path, z):
    parts = ["--parts", tmp_path / "parts"]
    assert run(files.model, files.tissue, "--out", tmp_path / "a.npy", *parts) == 0
    assert run(files.model, files.tissue, "--out", tmp_path / "b.npy") == 0
    for name in ("a.npy", "b.npy"):
        assert np.abs(np.load(tmp_path / name) - z).max() <= 1e-5


def test_gone_on_where_the_copy_was_not_written(files, tmp_path, monkeypatch, capsys):
    args = [files.model, files.tissue, "--parts", tmp_path / "parts", "--out", tmp_path / "a.h5ad"]
    write = embed.write_copy

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embed, "write_copy", fail)
    assert run(*args) == 2 and "No space left" in capsys.readouterr().err
    monkeypatch.setattr(embed, "write_copy", write)
    assert run(*args) == 0 and "X_stofm" in anndata.read_h5ad(tmp_path / "a.h5ad").obsm
    assert run(*args) == 2 and "is there already" in capsys.readouterr().err
    assert run(*args, "--overwrite") == 0


def test_shares(files, tmp_path, z, caplog):
    out = tmp_path / "a.h5ad"
    args = [files.model, files.tissue, "--parts", tmp_path / "parts", "--out", out]
    assert run(*args, "--share", "1/2") == 0 and not out.exists()
    assert run(*args, "--share", "0/2") == 0
    assert np.abs(anndata.read_h5ad(out).obsm["X_stofm"] - z).max() <= 1e-5
    before = out.stat().st_mtime_ns
    assert run(*args, "--share", "1/2") == 0 and out.stat().st_mtime_ns == before
    assert "is there already, and is left as it is" in caplog.text


def test_several_sources(files, tmp_path, z):
    tissue = make_tissue()
    for name in ("slice0", "slice1"):
        tissue[tissue.obs["slice"] == name].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    sources = [tmp_path / "slice0.h5ad", tmp_path / "slice1.h5ad"]
    assert run(files.model, *sources, "--parts", tmp_path / "parts", "--out", tmp_path / "out") == 0
    written = [anndata.read_h5ad(tmp_path / "out" / path.name).obsm["X_stofm"] for path in sources]
    assert np.abs(np.concatenate(written) - z).max() <= 1e-5
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["slice0", "slice1"]


def test_a_source_of_another_format(files, tmp_path, z):
    pytest.importorskip("zarr")
    make_tissue().write_zarr(tmp_path / "tissue.zarr")
    args = ["--parts", tmp_path / "parts", "--out", tmp_path / "a.h5ad"]
    assert run(files.model, tmp_path / "tissue.zarr", *args) == 0
    written = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert np.abs(written.obsm["X_stofm"] - z).max() <= 1e-5 and "X_stofm_made_of" in written.uns


def test_two_processes_under_torchrun(files, tmp_path, z):
    """As torchrun starts them: by their environment alone."""
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "a.h5ad"
    words = ["embed", files.model, files.tissue, "--parts", tmp_path / "out" / "parts", "--out", out]
    with forked_stofm(tmp_path) as stofm:
        children = [
            subprocess.Popen(
                [*stofm.split(), *map(str, words), "--device", "cpu"],
                env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
                stderr=subprocess.PIPE, text=True,
            )
            for rank in range(2)
        ]  # fmt: skip
        said = [child.communicate(timeout=300)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert np.abs(anndata.read_h5ad(out).obsm["X_stofm"] - z).max() <= 1e-5
    # One of them has written it, and nothing is left.
    assert sum("has the embedding in obsm['X_stofm']" in words for words in said) == 1
    assert {path.name for path in out.parent.iterdir()} == {"a.h5ad", "parts"}


def test_the_gpu_of_a_process(monkeypatch):
    monkeypatch.setattr(embed.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(embed.torch.cuda, "device_count", lambda: 4)
    assert str(embed.device_of("auto")) == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "6")
    assert str(embed.device_of("auto")) == "cuda:2" and str(embed.device_of("cpu")) == "cpu"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--share", "0/2"], "--share 0/2 takes --parts DIR, the folder that is shared"),
        (["--parts", "{tmp}/parts", "--share", "2/2"], "--share 2/2: expected K/N with K from 0 to N"),
        (["--parts", "{tissue}"], "--parts {tissue} is a file; name a folder"),
        (["--parts", "{tissue}/parts"], "--parts: nothing can be written to"),
        (["--parts", "{tmp}/parts", "--slice-key", "slise"], "Did you mean 'slice'"),
    ],
)
def test_bad_input(files, tmp_path, capsys, args, words):
    places = {"tissue": files.tissue, "tmp": tmp_path}
    args = [arg.format(**places) for arg in args]
    assert run(files.model, files.tissue, "--out", tmp_path / "a.h5ad", *args) == 2
    assert words.format(**places) in capsys.readouterr().err
    assert not (tmp_path / "a.h5ad").exists()


def test_a_folder_of_something_else(files, tmp_path, capsys):
    args = [files.model, files.tissue, "--parts", tmp_path / "parts", "--out", tmp_path / "a.h5ad"]
    assert run(*args, "--share", "0/2") == 0
    assert run(*args, "--seed", "1") == 2
    assert "was begun with something else (seed 0 -> 1)" in capsys.readouterr().err


def test_an_ending_that_is_none(files, tmp_path, capsys):
    assert run(files.model, files.tissue, "--out", tmp_path / "a.csv") == 2
    assert "must end in .h5ad or .npy" in capsys.readouterr().err
