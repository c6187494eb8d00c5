from argparse import Namespace

import pytest

from benchmarks.methods import METHODS
from benchmarks.tasks.segmentation import make_rows
from stofm_pyg.models import SToFM

SE2 = "SE2TransformerConv"


def rows(method="stofm,pca", conv=SE2, features="auto", unseen=False, model=None):
    args = Namespace(method=method, conv=conv, features=features, unseen=unseen, model=model,
                     preset="tiny", device="cpu")  # fmt: skip
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
    assert set(METHODS) >= {"stofm", "untrained", "stofm-pretrained", "pca", "coordinates"}


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
