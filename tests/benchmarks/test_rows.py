from argparse import Namespace

import pytest

from benchmarks.ablations import ABLATIONS
from benchmarks.methods import ALL, DEFAULT, METHODS
from benchmarks.methods.unscaled import UnscaledFitted
from benchmarks.rows import make_rows
from stofm_pyg.data import SliceSettings
from stofm_pyg.models import SToFM
from stofm_pyg.train import PRESETS, PretrainConfig

SE2 = "SE2TransformerConv"


def rows(method="stofm,pca", conv=SE2, features="auto", unseen=False, model=None, **more):
    args = Namespace(method=method, conv=conv, features=features, unseen=unseen, model=model,
                     preset="tiny", device="cpu", **more)  # fmt: skip
    return make_rows(args)


def described(**kwargs):
    made = rows(**kwargs)
    return {name: (row.method.__class__.__name__, row.unseen, row.seeded) for name, row in made.items()}


def test_a_row_for_each_method():
    assert described() == {"stofm": ("SToFMFitted", False, True), "pca": ("PCA", False, False)}
    assert list(rows(method=" pca, stofm ,pca")) == ["pca", "stofm"]
    assert described(method="stofm-pretrained,untrained") == {
        "stofm-pretrained": ("Pretrained", False, True),
        "untrained": ("Untrained", False, True),
    }
    with pytest.raises(ValueError, match="Unknown method 'x'; known: stofm, untrained, ring-pca"):
        rows(method="pca,x")
    with pytest.raises(ValueError, match="'geneforme'; did you mean 'geneformer'"):
        rows(method="geneforme")
    assert list(rows(method=None)) == DEFAULT
    assert set(METHODS) >= {"stofm", "untrained", "stofm-pretrained", "pca", "coordinates"}
    # What has a head of its own is of another table, and what begins with a row does not train it anew.
    assert list(rows(method="pca,fine-tuned")) == ["pca"]
    made = rows(method="scgpt,scgpt+neighbours")
    beside = made["scgpt+neighbours"]
    assert beside.base.settings == made["scgpt"].settings and beside.base.method is beside.method.method


def test_another_operator_has_rows_beside_the_se2_layer():
    made = rows(method="stofm,untrained,pca", conv="GCNConv", features="X_own")
    assert list(made) == ["stofm", "stofm (GCNConv)", "untrained", "untrained (GCNConv)", "pca"]
    for name, conv in (("stofm", SE2), ("stofm (GCNConv)", "GCNConv")):
        assert made[name].method.config == {"model": {"conv": conv}}
        assert made[name].method.kwargs == {"features": "X_own", "device": "cpu"}
    untrained = made["untrained (GCNConv)"].method.config
    assert untrained["model"] == {"conv": "GCNConv"} and untrained["stage_1"] == {"num_epochs": 0}


def test_rows_of_slices_that_were_not_seen():
    made = described(method="stofm,pca,coordinates", unseen=True)
    assert list(made) == ["stofm", "stofm (unseen)", "pca", "pca (unseen)", "coordinates"]
    assert made["stofm (unseen)"] == ("SToFMFitted", True, True)
    assert made["pca (unseen)"] == ("PCA", True, False)


def test_a_saved_model_is_a_row(tmp_path):
    SToFM(5, 8, 1, heads=2, num_gaussians=4).save_pretrained(tmp_path)
    made = described(method="pca", model=str(tmp_path), unseen=True)
    assert made["model"] == ("SavedModel", False, False)
    assert list(made) == ["pca", "pca (unseen)", "model"]


def test_kinds_of_features_have_rows_of_their_own():
    made = rows(method="stofm,pca", features="pca, tokens,pca")
    assert list(made) == ["stofm (pca)", "stofm (tokens)", "pca"]
    assert made["stofm (tokens)"].method.kwargs == {"features": "tokens", "device": "cpu"}
    made = rows(method="stofm", conv="GCNConv", features="pca,tokens")
    assert list(made)[2:] == ["stofm (GCNConv, pca)", "stofm (GCNConv, tokens)"]


def test_several_operators_have_rows_each(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch_geometric.nn import GATConv, GCNConv\n\nclass Own(GCNConv):\n    pass\n"
    )
    own = f"{tmp_path / 'own.py'}:Own"
    made = rows(method="stofm,untrained", conv=f"GCNConv, {own},{SE2},GCNConv")
    assert list(made) == [
        "stofm", "stofm (GCNConv)", "stofm (Own)",
        "untrained", "untrained (GCNConv)", "untrained (Own)",
    ]  # fmt: skip
    assert made["stofm (Own)"].method.config == {"model": {"conv": own}}
    # Two operators of one name are told apart by where they are.
    made = rows(method="stofm", conv="GCNConv,torch_geometric.nn.conv:GCNConv")
    assert list(made) == ["stofm", "stofm (GCNConv)", "stofm (torch_geometric.nn.conv:GCNConv)"]
    with pytest.raises(ValueError, match="There is no file"):
        rows(conv="nowhere.py:Own")


def test_variants_stand_beside_the_full_model():
    made = rows(method=None, ablate="all")
    assert list(made) == ["stofm", *(f"stofm, {variant.told}" for variant in ABLATIONS.values())]
    for row in list(made.values())[1:]:
        assert row.settings["variant_of"] == "stofm" and row.settings != made["stofm"].settings
    row = made["stofm, no rings"].method
    assert row.config["stage_1"] == {"objectives": {"mcm": 1.0}} and row.config["model"] == {"conv": SE2}
    assert made["stofm, no virtual cells"].method.kwargs["virtual_cells"] is False
    assert made["stofm, no local start"].method.config["model"] == {"conv": SE2, "local_start": False}
    assert isinstance(made["stofm, components of equal variance"].method, UnscaledFitted)
    made = rows(method="pca", ablate="mcm, radius-half", unseen=True)
    assert list(made) == ["pca", "pca (unseen)", "stofm, no MCM", "stofm, no MCM (unseen)",
                          "stofm, radius 4", "stofm, radius 4 (unseen)"]  # fmt: skip
    assert made["stofm, no MCM (unseen)"].settings["variant_of"] == "stofm (unseen)"
    with pytest.raises(ValueError, match="Unknown ablation 'mmc'; did you mean 'mcm'"):
        rows(ablate="mmc")


def test_configurations_of_variants_are_ones():
    for variant in ABLATIONS.values():
        config = PretrainConfig.from_dict(variant.config, PRESETS["tiny"])
        assert (config != PRESETS["tiny"]) == bool(variant.config) or "adaptation" in variant.config
        fit = {key: value for key, value in variant.fit.items() if key != "features"}
        assert (SliceSettings(**fit) != SliceSettings()) == bool(fit)


def test_an_extra_that_is_missing(monkeypatch, caplog):
    def missing(**kwargs):
        raise ImportError('It needs novae: pip install "stofm-pyg[novae]"')

    monkeypatch.setitem(METHODS, "novae", missing)
    with pytest.raises(ImportError, match="stofm-pyg.novae"):
        rows(method="pca,novae")
    made = rows(method="all")
    assert list(made) == [name for name in ALL if name != "novae"] and "stofm-pretrained" not in made
    assert "Row 'novae' is left out" in caplog.text


def test_published_weights_are_a_row(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.safetensors").write_bytes(b"weights")
    item = f"geneformer={tmp_path / 'weights'}"
    row = rows(method="pca", checkpoint=[item])["geneformer (published)"]
    assert row.method.checkpoint == str(tmp_path / "weights") and not row.method.learns
    assert list(row.settings["checkpoint"]) == ["model.safetensors"] and not row.seeded
    with pytest.raises(ValueError, match="there is no folder of weights"):
        rows(checkpoint=[f"scgpt={tmp_path / 'none'}"])
    with pytest.raises(ValueError, match="write NAME=DIR, where NAME is one of geneformer, "):
        rows(checkpoint=[f"pca={tmp_path}"])
