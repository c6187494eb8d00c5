"""`domains`, and embeddings that are not made twice."""

import json

import anndata
import numpy as np
import pytest

from stofm_pyg.cli import main
from stofm_pyg.commands.kept_embedding import kept_embedding, mark_embedding
from stofm_pyg.models import SToFM
from tests.models.fit_case import fitted, make_tissue


def run(*args):
    return main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def embedded(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("embedded") / "e.h5ad"
    args = ["--out", out, "--key-added", "X_tissue"]
    assert run("embed", files.model, files.tissue, *args) == 0
    return out


def domains_of_python(files, n):
    adata, model = make_tissue(), SToFM.from_pretrained(files.model)
    model.domains(adata, n=n)
    return adata.obs["stofm_domain"], model


@pytest.mark.parametrize("of_file", [False, True])
def test_as_in_python(files, embedded, tmp_path, capsys, of_file, monkeypatch):
    source = embedded if of_file else files.tissue
    calls = []
    embed = SToFM.embed
    monkeypatch.setattr(SToFM, "embed", lambda *a, **k: calls.append(1) or embed(*a, **k))
    out = tmp_path / "new" / "d.h5ad"
    args = [
        "--out",
        out,
        "--num-domains",
        3,
        "--plot",
        tmp_path / "pictures",
        "--save-model",
        tmp_path / "m",
    ]
    assert run("domains", files.model, source, *args) == 0
    assert len(calls) == (0 if of_file else 1)
    expected, model = domains_of_python(files, 3)
    written = anndata.read_h5ad(out).obs["stofm_domain"]
    assert written.tolist() == expected.tolist()
    picture = tmp_path / "pictures" / f"{source.stem}_domains.png"
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and picture.stat().st_size > 5000
    saved = SToFM.from_pretrained(tmp_path / "m")
    np.testing.assert_array_equal(saved.found_domains.centers, model.found_domains.centers)
    sizes = ", ".join(f"{name}: {number}" for name, number in expected.value_counts(sort=False).items())
    assert f"cells of 3 domains: {sizes}" in capsys.readouterr().out


def test_several_files_share_their_domains(files, tmp_path):
    adata = make_tissue()
    for name in ("slice0", "slice1"):
        adata[adata.obs["slice"] == name].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    out = tmp_path / "out"
    sources = [tmp_path / "slice0.h5ad", tmp_path / "slice1.h5ad"]
    assert run("domains", files.model, *sources, "--out", out, "--num-domains", 3) == 0
    expected, _ = domains_of_python(files, 3)
    written = [anndata.read_h5ad(out / f"slice{number}.h5ad").obs["stofm_domain"] for number in (0, 1)]
    assert [*written[0], *written[1]] == expected.tolist()


def test_what_an_embedding_was_made_of():
    model, adata = fitted(), make_tissue()
    model.embed(adata)
    z = adata.obsm["X_stofm"]
    assert kept_embedding(adata, "X_stofm", model, 0) is None
    mark_embedding(adata, "X_stofm", model, 0)
    np.testing.assert_array_equal(kept_embedding(adata, "X_stofm", model, 0), z)
    adata.X = adata.X.log1p()  # As is done to counts after they were embedded.
    assert kept_embedding(adata, "X_stofm", model, 0) is not None
    assert kept_embedding(adata, "X_stofm", model, 0, {"layer": None}) is not None
    assert kept_embedding(adata, "X_stofm", model, 0, {"layer": "raw"}) is None
    assert kept_embedding(adata, "X_stofm", model, 1) is None
    assert kept_embedding(adata, "X_other", model, 0) is None
    assert kept_embedding(adata[:50].copy(), "X_stofm", model, 0) is None
    moved = adata.copy()
    moved.obsm["spatial"] = 2 * moved.obsm["spatial"]
    assert kept_embedding(moved, "X_stofm", model, 0) is None
    assert json.loads(adata.uns["X_stofm_made_of"])["seed"] == 0


def test_another_model_embeds_again(files, embedded, tmp_path):
    model = SToFM.from_pretrained(files.model)
    model.mask_token.data += 1
    adata = anndata.read_h5ad(embedded)
    assert kept_embedding(adata, "X_tissue", model, 0) is None
    model = SToFM.from_pretrained(files.model)
    assert kept_embedding(adata, "X_tissue", model, 0) is not None
    model.read_out = type(model.read_out)(layers="last", readout="cell")
    assert kept_embedding(adata, "X_tissue", model, 0) is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "Say where domains go: --out FILE.h5ad, --plot DIR or --save-model DIR"),
        (["--out", "d.csv"], "must end in .h5ad"),
        (["--out", "{tissue}"], "is the file that is read"),
        (["--out", "{model}/config.json/d.h5ad"], "nothing can be written to"),
        (["--plot", "{tissue}"], "--plot {tissue} is a file; name a folder"),
        (["--save-model", "{model}"], "--save-model {model} holds something already"),
        (["--out", "{tmp}/d.h5ad", "--num-domains", "0"], "--num-domains must be at least 1 (got 0)"),
    ],
)
def test_bad_input(files, tmp_path, capsys, args, words):
    places = {"tissue": files.tissue, "model": files.model, "tmp": tmp_path}
    args = [arg.format(**places) for arg in args]
    assert run("domains", files.model, files.tissue, *args) == 2
    assert words.format(**places) in capsys.readouterr().err
    assert not (tmp_path / "d.h5ad").exists()
