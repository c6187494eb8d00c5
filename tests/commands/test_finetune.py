"""`finetune` and `predict`."""

import anndata
import numpy as np
import pytest
import torch

from stofm_pyg.cli import main
from stofm_pyg.models import SToFM
from tests.models.fit_case import make_tissue


def run(*args):
    return main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def tuned(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "model"
    assert run("finetune", files.model, files.tissue, "--label", "cell_type", "--out", out) == 0
    return out


def test_the_model_is_that_of_python(files, tuned):
    model = SToFM.from_pretrained(files.model)
    model.finetune(make_tissue(), "cell_type", progress=False)
    head, expected = SToFM.from_pretrained(tuned).heads["cell_type"], model.heads["cell_type"]
    assert head.classes == expected.classes
    assert torch.equal(head.lin.weight, expected.lin.weight)
    assert not SToFM.from_pretrained(files.model).heads


def test_layers_are_trained_too(files, tmp_path):
    out = tmp_path / "m"
    args = ["--label", "domain", "--train", "last", "--steps", 2, "--lr", "1e-2", "--seed", 3]
    assert run("finetune", files.model, files.tissue, *args, "--out", out) == 0
    start, end = SToFM.from_pretrained(files.model), SToFM.from_pretrained(out)
    moved = [
        not torch.equal(a, b)
        for a, b in zip(start.encoder.blocks.parameters(), end.encoder.blocks.parameters(), strict=True)
    ]
    assert any(moved) and not all(moved)
    again = SToFM.from_pretrained(files.model)
    again.finetune(files.tissue, "domain", train="last", num_steps=2, lr=1e-2, seed=3, progress=False)
    assert torch.equal(again.heads["domain"].lin.weight, end.heads["domain"].lin.weight)


def test_predict(files, tuned, tmp_path, capsys):
    other = make_tissue(seed=4)
    other.write_h5ad(tmp_path / "other.h5ad")
    out = tmp_path / "out.h5ad"
    assert run("predict", tuned, tmp_path / "other.h5ad", "--out", out) == 0
    expected = SToFM.from_pretrained(tuned).predict(other)
    written = anndata.read_h5ad(out)
    assert written.obs["stofm_cell_type"].tolist() == expected.obs["stofm_cell_type"].tolist()
    np.testing.assert_allclose(
        written.obsm["stofm_cell_type_probability"], expected.obsm["stofm_cell_type_probability"]
    )
    number = int((expected.obs["stofm_cell_type"] == "type01").sum())
    assert f"type01: {number}" in capsys.readouterr().out


def test_predict_domains(files, tmp_path):
    assert (
        run("domains", files.model, files.tissue, "--num-domains", 2, "--save-model", tmp_path / "m")
        == 0
    )
    args = ["--label", "domains", "--key-added", "region", "--out", tmp_path / "p.h5ad"]
    assert run("predict", tmp_path / "m", files.tissue, *args) == 0
    adata, model = make_tissue(), SToFM.from_pretrained(files.model)
    model.domains(adata, n=2)
    written = anndata.read_h5ad(tmp_path / "p.h5ad").obs["region"]
    assert written.tolist() == adata.obs["stofm_domain"].tolist()


def test_bad_input(files, tuned, tmp_path, capsys):
    out = ["--out", tmp_path / "o.h5ad"]
    label = ["--label", "cell_type", "--out", tmp_path / "m"]
    for args, words in (
        (
            ["predict", files.model, files.tissue, *out],
            "knows no label; teach it one by 'stofm finetune'",
        ),
        (["predict", tuned, files.tissue, *out, "--label", "domain"], "--label domain: the model in"),
        (["predict", tuned, files.tissue, "--out", files.tissue], "is the file that is read"),
        (["finetune", files.model, files.tissue, *label, "--steps", 0], "--steps must be at least 1"),
        (["finetune", files.model, files.tissue, "--label", "kind", *label[2:]], "'kind'"),
        (["finetune", files.model, files.tissue, *label[:3], tuned], "holds something already"),
        (["finetune", files.model, files.tissue, *label[:3], files.tissue], "is a file; name a folder"),
        (["finetune", tmp_path, files.tissue, *label], "has no 'config.json'"),
    ):
        assert run(*args) == 2
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error
    assert not (tmp_path / "o.h5ad").exists() and not (tmp_path / "m").exists()
