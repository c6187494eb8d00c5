import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stofm_pyg.models import SToFM
from stofm_pyg.train import finetune
from tests.models.fit_case import fitted, make_tissue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    fitted().save_pretrained(folder)
    return folder


@pytest.fixture
def model(folder):
    return SToFM.from_pretrained(folder)


@pytest.fixture
def adata():
    """With a label that is linear in the embedding, unknown for some cells."""
    adata = make_tissue()
    z = fitted().embed_anndata(adata).numpy()
    direction = np.random.default_rng(0).normal(size=(z.shape[1], 3))
    score = (z - z.mean(axis=0)) / z.std(axis=0) @ direction
    label = np.array(["low", "middle", "high"])[score.argmax(axis=1)]
    adata.obs["linear"] = pd.Categorical(label, categories=["middle", "low", "unused", "high"])
    adata.obs.loc[adata.obs_names[::10], "linear"] = np.nan
    return adata


def accuracy(adata, key="stofm_linear", label="linear"):
    known = adata.obs[label].notna()
    return (adata.obs[key].astype(str) == adata.obs[label].astype(str))[known].mean()


def test_a_head_learns_what_is_linear(model, adata):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert model.finetune(adata, "linear", read="embedding", progress=False) is model
    assert not model.training
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    head = model.heads["linear"]
    assert head.classes == ["high", "low", "middle"] and repr(head) == "LabelHead(16, classes=3)"
    other = adata.obs.copy()
    assert model.predict(adata) is adata
    assert accuracy(adata) > 0.9
    column = adata.obs["stofm_linear"]
    assert list(column.cat.categories) == ["high", "low", "middle"] and column.notna().all()
    table = adata.obsm["stofm_linear_probability"]
    assert list(table.columns) == ["high", "low", "middle"] and table.index.equals(adata.obs_names)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
    assert (table.columns[table.to_numpy().argmax(axis=1)] == column.to_numpy()).all()
    assert adata.obs.drop(columns="stofm_linear").equals(other) and "X_stofm" not in adata.obsm
    # It is the same as by hand.
    z = model.embed_anndata(adata)
    by_hand = torch.nn.functional.linear((z - head.mean) / head.std, head.lin.weight, head.lin.bias)
    np.testing.assert_allclose(table.to_numpy(), by_hand.softmax(dim=1).detach().numpy(), atol=1e-5)


def by_sklearn(model, adata, label):
    """What a logistic regression on standardised embeddings of the cells with a label says."""
    z = model.embed_anndata(adata).numpy()
    known = adata.obs[label].notna().to_numpy()
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    head.fit(z[known], adata.obs[label].astype(str)[known])
    return head.predict(z), head.predict_proba(z)


@pytest.mark.parametrize("label", ["linear", "pair"])
def test_the_head_is_a_logistic_regression(model, adata, label):
    adata.obs["pair"] = np.where(adata.obs["linear"] == "high", "yes", "no")
    # Cells without a label have no part.
    model.finetune(adata, label, read="embedding", progress=False)
    model.predict(adata)
    names, probability = by_sklearn(model, adata, label)
    table = adata.obsm[f"stofm_{label}_probability"]
    np.testing.assert_allclose(table.to_numpy(), probability, atol=2e-3)
    assert (adata.obs[f"stofm_{label}"].astype(str) == names).mean() > 0.99


def test_what_the_head_reads(model, adata):
    own = model.features.encode(adata[adata.obs["slice"] == "slice0"].copy()).numpy()
    other = model.features.encode(adata[adata.obs["slice"] == "slice1"].copy()).numpy()
    adata.obs["own"] = np.where(np.concatenate([own, other])[:, 3] > 0, "more", "less")
    kinds = {}
    for read in ("auto", "embedding", "both", "features"):
        model.finetune(adata, "own", read=read, progress=False)
        kinds[read] = model.heads["own"].channels.tolist()
        model.predict(adata)
        if read != "embedding":
            assert accuracy(adata, "stofm_own", "own") > 0.97
    assert kinds["embedding"] == list(range(16)) and kinds["features"] == list(range(16, 21))
    assert kinds["both"] == list(range(21))
    assert kinds["auto"] == kinds["features"]  # Only a cell's own features tell.
    with pytest.raises(ValueError, match="Unknown 'read' 'all'; known: auto, embedding, both, features"):
        model.finetune(adata, "own", read="all")


@pytest.mark.parametrize("train", ["last", "all"])
def test_layers_are_trained_along(model, adata, train):
    model.found_domains = model.domains(adata.copy(), n=2)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    grads = [p.requires_grad for p in model.parameters()]
    options = {"train": train, "num_steps": 6, "lr": 3e-3, "progress": False}
    finetune(model, adata, "linear", **options)
    moved = {key for key, value in model.state_dict().items()
             if key in start and not torch.equal(value, start[key])}  # fmt: skip
    assert any("encoder.blocks.1" in key for key in moved)
    assert any("encoder.blocks.0" in key for key in moved) is (train == "all")
    assert ("encoder.lin_in.weight" in moved) is (train == "all")
    assert "mask_token" not in moved
    assert [p.requires_grad for p in model.parameters()][: len(grads)] == grads
    assert model.features is not None and model.read_out.readout == "cell"
    assert model.found_domains is None  # They were of the embeddings of before.
    model.predict(adata)
    assert accuracy(adata) > 0.9
    assert not model.training


def test_the_seed_decides(folder, adata):
    weights = []
    for seed in (0, 0, 1):
        model = SToFM.from_pretrained(folder)
        model.finetune(adata, "linear", train="all", num_steps=2, seed=seed, progress=False)
        weights.append(model.encoder.lin_in.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_several_slices_and_files(model, adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    model.finetune(tmp_path / "a.h5ad", "linear", progress=False)
    state = {key: value.clone() for key, value in model.heads["linear"].state_dict().items()}
    parts = [adata[adata.obs["slice"] == name].copy() for name in ("slice0", "slice1")]
    model.finetune(parts, "linear", progress=False)
    for key, value in model.heads["linear"].state_dict().items():
        assert torch.allclose(value, state[key], atol=1e-4)


def test_saved_with_the_model_and_found_in_other_slices(model, adata, tmp_path):
    model.finetune(adata, "linear", progress=False)
    model.finetune(adata, "domain", progress=False)
    assert list(model.heads) == ["linear", "domain"]
    model.save_pretrained(tmp_path)
    loaded = SToFM.from_pretrained(tmp_path)
    other, again = make_tissue(seed=8), make_tissue(seed=8)
    model.predict(other, "linear", key_added="mine")
    loaded.predict(again, "linear", key_added="mine")
    assert other.obs["mine"].equals(again.obs["mine"])
    np.testing.assert_array_equal(other.obsm["mine_probability"], again.obsm["mine_probability"])
    other.write_h5ad(tmp_path / "out.h5ad")
    with pytest.raises(ValueError, match=r"Name what to predict by 'label=': the model has learned "
                       r"\['linear', 'domain'\]"):  # fmt: skip
        loaded.predict(other)
    with pytest.raises(ValueError, match="'lineal' is not in 'model.heads'.*Did you mean 'linear'"):
        loaded.predict(other, "lineal")


def test_classes_of_ones_own(model, adata):
    classes = ["high", "middle", "low", "never"]
    model.finetune(adata, "linear", classes=classes, progress=False)
    model.predict(adata, "linear")
    table = adata.obsm["stofm_linear_probability"]
    assert list(table.columns) == classes and (table["never"] < 1e-6).all()
    assert accuracy(adata) > 0.9


def test_bad_input(model, adata):
    with pytest.raises(ValueError, match="Unknown 'train' 'some'; known: head, last, all"):
        model.finetune(adata, "linear", train="some")
    with pytest.raises(ValueError, match="'lines' is not in 'adata.obs'|'lines'"):
        model.finetune(adata, "lines")
    adata.obs["one"] = "same"
    with pytest.raises(ValueError, match=r"'adata.obs\['one'\]' needs at least two .*\['same'\]"):
        model.finetune(adata, "one")
    for name in ("a.b", "type", "domains"):
        adata.obs[name] = adata.obs["linear"]
        with pytest.raises(ValueError, match=f"label '{name}' cannot be kept under that name; rename"):
            model.finetune(adata, name)
    with pytest.raises(ValueError, match="the model has learned nothing yet"):
        model.predict(adata)
    with pytest.raises(TypeError, match="Expected an AnnData to write to, got str"):
        model.predict("a.h5ad")
    assert len(model.heads) == 0


def test_arguments_that_nothing_can_be_learned_from(model, adata):
    with pytest.raises(ValueError, match="There is no slice to learn from: 'data' is empty"):
        model.finetune([], "linear", progress=False)
    with pytest.raises(TypeError, match="'classes' takes a list of names"):
        model.finetune(adata, "linear", classes="high", progress=False)
    with pytest.raises(ValueError, match="'classes' of 'linear' name 'low' twice"):
        model.finetune(adata, "linear", classes=["low", "high", "middle", "low"], progress=False)
    with pytest.raises(ValueError, match=r"'num_steps' must be at least 1 \(got 0\)"):
        model.finetune(adata, "linear", train="last", num_steps=0, progress=False)


def test_classes_that_are_numbers(model, adata):
    adata.obs["number"] = adata.obs["linear"].cat.codes.astype(int)
    model.finetune(adata, "number", classes=[0, 1, 2, 3], progress=False)
    assert model.heads["number"].classes == ["0", "1", "2", "3"]


def test_what_was_learned_stays_where_slices_cannot_be_had(model, adata):
    model.finetune(adata, "linear", progress=False)
    model.domains(adata, n=2)
    with pytest.raises(ValueError, match="'section' is not in 'adata.obs'"):
        model.finetune(adata, "linear", train="last", num_steps=1, slice_key="section", progress=False)
    assert list(model.heads) == ["linear"] and model.found_domains.n == 2
