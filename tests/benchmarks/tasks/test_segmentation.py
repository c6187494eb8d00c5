import pytest
import torch

from benchmarks.methods import METHODS
from benchmarks.presets import PRESETS
from benchmarks.tasks.segmentation import make_rows


def rows(names="stofm,pca", conv="SE2TransformerConv", features="tokens"):
    made = make_rows(names, conv, features, PRESETS["tiny"], torch.device("cpu"))
    return {name: (getattr(row.method, "conv", None), row.on_tokens) for name, row in made.items()}


SE2 = "SE2TransformerConv"


def test_tokens_have_a_row_with_principal_components_beside():
    assert list(rows().items()) == [
        ("stofm", (SE2, True)),
        ("stofm (pca)", (SE2, False)),
        ("pca", (None, False)),
    ]


def test_principal_components_alone():
    want = {"stofm (pca)": (SE2, False), "pca": (None, False)}
    assert rows(features="pca") == want


def test_another_operator_sees_the_features_asked_for():
    assert rows("stofm", "GCNConv") == {
        "stofm": (SE2, True),
        "stofm (GCNConv)": ("GCNConv", True),
        "stofm (pca)": (SE2, False),
    }
    assert rows("stofm", "GCNConv", "pca") == {
        "stofm (pca)": (SE2, False),
        "stofm (pca, GCNConv)": ("GCNConv", False),
    }


def test_baselines_see_no_tokens():
    made = rows("pca,neighbour-pca,coordinates")
    assert list(made.values()) == [(None, False)] * 3
    with pytest.raises(ValueError, match="Unknown method 'x'; known: stofm, pca"):
        rows("pca,x")
    assert set(METHODS) == {"stofm", "pca", "neighbour-pca", "coordinates"}
