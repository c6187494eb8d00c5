"""`fit` and `embed`, as they are typed."""

import json
import os
import signal

import anndata
import numpy as np
import pytest
import torch

from stofm_pyg.cli import main
from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.models import SToFM
from stofm_pyg.models.features import PCAFeatures, TokenFeatures
from stofm_pyg.train import Trainer
from tests.models.fit_case import CONFIG, SETTINGS, fit, fitted, make_tissue

HOW = ["--radius", "2.5", "--max-clusters", "8", "--cells-per-part", "40", "--num-features", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of a slice each, and a configuration."""
    folder = tmp_path_factory.mktemp("slices")
    adata = make_tissue()
    for number in (0, 1):
        adata[adata.obs["slice"] == f"slice{number}"].copy().write_h5ad(folder / f"{number}.h5ad")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def run(folder, out, *more, slices=None):
    args = [folder if slices is None else slices, "--out", out, "--preset", "tiny"]
    args += ["--config", folder / "config.json", "--workers", "0", "--device", "cpu", *more]
    return main(["fit", *map(str, args)])


@pytest.fixture(scope="module")
def whole(folder):
    assert run(folder, folder / "whole", *HOW) == 0
    return folder / "whole"


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_model_in_the_folder_is_that_of_python(folder, whole):
    model = SToFM.from_pretrained(whole)
    assert same(model, fitted()) and isinstance(model.features, PCAFeatures)
    assert model.settings == SETTINGS


def test_embed_writes_a_copy(folder, whole, tmp_path):
    source = folder / "1.h5ad"
    before = source.read_bytes()
    out = tmp_path / "new" / "out.h5ad"
    assert main(["embed", str(whole), str(source), "--out", str(out)]) == 0
    assert source.read_bytes() == before
    written, read = anndata.read_h5ad(out), anndata.read_h5ad(source)
    z = fitted().embed_anndata(read).numpy()
    np.testing.assert_allclose(written.obsm["X_stofm"], z, atol=1e-6)
    assert (written.X != read.X).nnz == 0 and written.obs.equals(read.obs)
    args = ["embed", str(whole), str(out), "--out", str(out), "--key-added", "again", "--seed", "1"]
    assert main([*args, "--device", "cpu"]) == 2
    assert main([*args, "--device", "cpu", "--overwrite"]) == 0
    assert set(anndata.read_h5ad(out).obsm) == {"spatial", "unobserved_counts", "X_stofm", "again"}


def test_embed_is_told_where_things_are(folder, whole, tmp_path):
    adata = make_tissue()
    adata.obs["section"] = adata.obs.pop("slice")
    adata.obsm["place"] = adata.obsm.pop("spatial")
    adata.layers["raw"] = adata.X.copy()
    adata.X.data = np.log1p(adata.X.data)
    adata.write_h5ad(tmp_path / "in.h5ad")
    where = ["--slice-key", "section", "--spatial-key", "place", "--layer", "raw"]
    args = ["embed", str(whole), str(tmp_path / "in.h5ad"), "--out", str(tmp_path / "out.h5ad")]
    assert main([*args, *where]) == 0
    z = fitted().embed_anndata(make_tissue()).numpy()
    np.testing.assert_allclose(anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_stofm"], z, atol=1e-6)


def test_options(folder, tmp_path):
    more = ["--unit", "micron", "--microns-per-unit", "2", "--radius", "60", "--seed", "3"]
    assert run(folder, tmp_path / "a", *more, slices=folder / "0.h5ad") == 0
    model = SToFM.from_pretrained(tmp_path / "a")
    assert model.settings == SliceSettings(unit="micron", microns_per_unit=2.0, radius=60.0, seed=3)
    config = json.loads((tmp_path / "a" / "pretraining.json").read_text())
    assert config["seed"] == 3 and config["held_out"] == 0
    (tmp_path / "c.json").write_text(json.dumps({**CONFIG, "seed": 4}))
    more = ["--config", tmp_path / "c.json"]
    assert run(folder, tmp_path / "b", *more, slices=folder / "0.h5ad") == 0
    config = json.loads((tmp_path / "b" / "pretraining.json").read_text())
    assert config["seed"] == 4


def test_tokens_and_an_encoder_that_adapt_wrote(folder, tmp_path):
    assert run(folder, tmp_path / "a", *HOW, "--vocab", "slices") == 0
    model = SToFM.from_pretrained(tmp_path / "a")
    files = [folder / "0.h5ad", folder / "1.h5ad"]
    vocab = GeneVocab.from_slices(files)
    assert isinstance(model.features, TokenFeatures) and model.vocab == vocab
    encoder = tmp_path / "encoder"
    model.cell_encoder.save_pretrained(encoder)
    vocab.save(encoder / "vocab.json")
    assert run(folder, tmp_path / "b", *HOW, "--cell-encoder", encoder) == 0
    again = SToFM.from_pretrained(tmp_path / "b")
    assert again.vocab == vocab and not (tmp_path / "b" / "checkpoints" / "adaptation").exists()


def test_from_a_saved_model(folder, whole, tmp_path):
    assert run(folder, tmp_path / "a", "--model", whole) == 0
    model = SToFM.from_pretrained(tmp_path / "a")
    assert same(model, fit(make_tissue(), model=fitted(), settings=None))
    adata = make_tissue()
    adata.obs["section"] = adata.obs.pop("slice")
    adata.write_h5ad(tmp_path / "section.h5ad")
    more = ["--model", whole, "--slice-key", "section"]
    assert run(folder, tmp_path / "b", *more, slices=tmp_path / "section.h5ad") == 0
    other = SToFM.from_pretrained(tmp_path / "b")
    assert same(model, other) and other.settings == SETTINGS.replace(slice_key="section")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_gone_on(folder, whole, tmp_path, monkeypatch, capsys, number, status):
    descend = Trainer._descend

    def pressed(self, parts):
        if self.step == 1:
            os.kill(os.getpid(), number)
        return descend(self, parts)

    monkeypatch.setattr(Trainer, "_descend", pressed)
    assert run(folder, tmp_path, *HOW) == status
    monkeypatch.undo()
    assert run(folder, tmp_path, *HOW, "--resume", "never") == 2
    assert "go on with '--resume auto'" in capsys.readouterr().err
    assert run(folder, tmp_path, *HOW, "--seed", "1") == 2
    assert "is of another run" in capsys.readouterr().err
    assert run(folder, tmp_path, *HOW) == 0
    assert same(SToFM.from_pretrained(tmp_path), fitted())


def test_a_model_that_no_run_made_stays(folder, whole, tmp_path, capsys):
    SToFM.from_pretrained(whole).save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    assert run(folder, tmp_path, *HOW) == 2
    assert "holds a model that no run made there" in capsys.readouterr().err
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_embed_writes_a_copy_of_each_of_several(folder, whole, tmp_path):
    out = tmp_path / "out"
    assert main(["embed", str(whole), str(folder), "--out", str(out)]) == 0
    for number in (0, 1):
        z = fitted().embed_anndata(folder / f"{number}.h5ad").numpy()
        written = anndata.read_h5ad(out / f"{number}.h5ad")
        np.testing.assert_allclose(written.obsm["X_stofm"], z, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--features", "X_owm"], "'X_owm' is not in 'adata.obsm'"),
        (["--config", "nowhere.yaml"], "no configuration 'nowhere.yaml'"),
        (["--model", "nowhere"], "There is no model 'nowhere'"),
        (["--slice-key", "slise"], "Did you mean 'slice'"),
        (["--radius", "-1"], "'radius' must be positive and finite (got -1.0)"),
        (["--device", "gpu"], "The device 'gpu' cannot be used here"),
        (["--workers", "-1"], "--workers must not be negative (got -1)"),
    ],
)
def test_bad_input(folder, tmp_path, capsys, more, words):
    assert run(folder, tmp_path / "a", *more, slices=folder / "0.h5ad") == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_embed_bad_input(folder, whole, tmp_path, capsys):
    out = ["--out", str(tmp_path / "o.h5ad")]
    source = str(folder / "0.h5ad")
    adata = make_tissue()[:, :10].copy()
    adata.write_h5ad(tmp_path / "few.h5ad")
    for args, words in (
        ([str(tmp_path), source, *out], "has no 'config.json'"),
        ([str(whole), str(tmp_path / "none.h5ad"), *out], "none.h5ad"),
        ([str(whole), source, "--out", str(tmp_path)], "is a folder; name a file"),
        ([str(whole), source, "--out", source], "is the file that is read; name another one"),
        ([str(whole), source, "--out", source + "/o.h5ad"], "nothing can be written to"),
        ([str(whole), str(folder), "--out", str(tmp_path / "o.h5ad")], "there are 2 to write"),
        ([str(whole), str(tmp_path / "few.h5ad"), *out], "Only 10 of the model's 40 genes"),
        ([str(whole), source, *out, "--device", "gpu"], "cannot be used here"),
    ):
        assert main(["embed", *args]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "o.h5ad").exists()
