"""`fit`: from slices to a model, whatever they are and whatever a model sees of them."""

import json
from dataclasses import replace

import anndata
import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from stofm_pyg.data import slices_from_anndata
from stofm_pyg.models import CellEncoder
from stofm_pyg.models.features import GivenFeatures, ObsmFeatures, PCAFeatures, TokenFeatures
from tests.models.fit_case import (
    CONFIG,
    FULL,
    SETTINGS,
    STAGE,
    assert_same,
    differs,
    fit,
    fitted,
    make_tissue,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "tissue.h5ad"
    make_tissue().write_h5ad(path)
    return path


@pytest.mark.parametrize("features", ["pca", "tokens"])
def test_wherever_the_slices_are(adata, file, vocab, features):
    expected = fitted(features)
    options = {"features": features, "vocab": vocab if features == "tokens" else None}
    backed = anndata.read_h5ad(file, backed="r")
    before = adata.copy()
    more = anndata.concat([adata, make_tissue(seed=3)[:50]])
    sources = [adata, more[:200], backed, backed[:200], file, str(file), [file]]
    for source in sources[:3] if features == "tokens" else sources:
        assert_same(fit(source, **options), expected)
    assert (adata.X != before.X).nnz == 0 and not adata.uns.keys() ^ before.uns.keys()
    assert adata.obs.equals(before.obs) and list(adata.obsm) == list(before.obsm)


def test_slices_in_files_and_objects_of_their_own(adata, tmp_path):
    parts = [adata[adata.obs["slice"] == name].copy() for name in ("slice0", "slice1")]
    paths = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    for part, path in zip(parts, paths, strict=True):
        part.write_h5ad(path)
    for sources in (parts, paths, [adata[:100], adata[100:]], [parts[0], paths[1]]):
        assert_same(fit(sources), fitted())
    # What lies in one file without a column is one slice.
    for part in parts:
        del part.obs["slice"]
    assert_same(fit(parts), fitted())


def test_slices_that_are_converted(adata):
    model = fitted()
    slices = model.slices(adata)
    again = fit(slices, settings=None)
    assert isinstance(again.features, GivenFeatures) and again.settings == model.settings.replace(
        slice_key=None
    )
    # Components that are scaled already are not scaled anew, up to rounding.
    z = torch.cat(again.embed(slices))
    assert float((z - model.embed_anndata(adata)).norm() / z.norm()) < 0.05
    plain = slices_from_anndata(adata, SETTINGS)
    assert torch.equal(fit(plain, settings=None).embed(plain[0]), fit(plain).embed(plain[0]))
    with pytest.raises(ValueError, match="which an AnnData does not have"):
        again.embed(adata)
    with pytest.raises(ValueError, match="were made otherwise than 'settings' say: radius 2.5 instead "
                       "of 4.0"):  # fmt: skip
        fit(plain, settings=None, radius=4.0)
    with pytest.raises(ValueError, match="were made in different ways: radius"):
        fit([plain[0], *slices_from_anndata(adata, SETTINGS, radius=5.0)], settings=None)
    with pytest.raises(TypeError, match="Got 'Data' and others; pass slices of one kind"):
        fit([plain[0], adata])
    with pytest.raises(TypeError, match="got a Batch of them"):
        fit(Batch.from_data_list(plain))


def test_what_a_model_sees(adata, vocab):
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(200, 4))
    assert isinstance(fitted().features, PCAFeatures)
    assert isinstance(fitted("tokens").features, TokenFeatures)
    own = fit(adata, features="X_own")
    assert isinstance(own.features, ObsmFeatures) and own.features.obsm == "X_own"
    assert own.embed_anndata(adata).shape == (200, 16)
    with pytest.raises(ValueError, match="'X_own' is not in 'adata.obsm'"):
        own.embed(make_tissue())
    made = fit(adata, features=fitted().features)
    assert_same(made, fitted())
    with pytest.raises(ValueError) as error:
        fit(adata, features="pcaa")
    assert "'pcaa' is not in 'adata.obsm', which holds" in str(error.value)
    assert "Other 'features' are 'pca' and 'tokens'" in str(error.value)


def test_a_cell_encoder_of_ones_own(adata, vocab):
    encoder = fitted("tokens").cell_encoder
    fingerprint = encoder.fingerprint()
    config = {**CONFIG, "stage_2": {"num_epochs": 0}}
    auto = fit(adata, cell_encoder=encoder, vocab=vocab, config=config)
    assert isinstance(auto.features, TokenFeatures) and auto.features.standardize
    assert auto.cell_encoder.fingerprint() == fingerprint
    # Given as features, and centred as these are.
    plain = fit(adata, features=TokenFeatures(encoder, vocab, standardize=False), config=config)
    assert not plain.features.standardize and plain.cell_encoder.fingerprint() == fingerprint
    assert differs(plain, auto)
    # One without a scale gets one; the caller's stays as it was.
    bare = CellEncoder(len(vocab), 8, 1, 2, 8, max_length=12, out_channels=6,
                       vocab_fingerprint=vocab.fingerprint).eval()  # fmt: skip
    model = fit(adata, cell_encoder=bare, vocab=vocab, config=config)
    assert bare.scale is None and model.cell_encoder.scale is not None
    # Both are trained in the second stage.
    both = fit(adata, cell_encoder=encoder, vocab=vocab)
    assert both.cell_encoder.fingerprint() != fingerprint == encoder.fingerprint()
    with pytest.raises(ValueError, match="Pass the vocabulary of the cell encoder as 'vocab'"):
        fit(adata, cell_encoder=encoder)
    with pytest.raises(ValueError, match="has no vocabulary"):
        fit(adata, features=TokenFeatures(encoder))


def test_settings_by_name(adata):
    adata.obs["section"] = adata.obs.pop("slice")
    model = fit(adata, slice_key="section", max_clusters=5)
    assert model.settings == SETTINGS.replace(slice_key="section", max_clusters=5)
    assert model.embed_anndata(adata).shape == (200, 16)
    with pytest.raises(TypeError, match="no setting 'radios' of a slice; did you mean 'radius'"):
        fit(adata, radios=3)
    with pytest.raises(ValueError, match="'slice_kind' is not in 'adata.obs'"):
        fit([adata, adata], slice_key="slice_kind")
    with pytest.raises(ValueError, match="Unknown preset 'large'; known: tiny"):
        fit(adata, preset="large")
    with pytest.raises(ValueError, match="Unknown key 'stage_3'"):
        fit(adata, config={"stage_3": {}})


def test_what_the_configuration_says(adata):
    assert_same(fit(adata, config=replace(FULL, seed=0)), fitted())
    third = fit(adata, config=replace(FULL, seed=3))
    assert differs(third, fitted())
    assert_same(fit(adata, config={**CONFIG, "seed": 3}), third)
    assert_same(fit(adata, seed=3), third)
    assert third.read_out.layers == "all" and third.training is False


def test_slices_held_out(adata, tmp_path):
    for number, given in enumerate(({"held_out": 1}, {"held_out": ["slice1"]},
                                    {"config": {**CONFIG, "held_out": 1}})):  # fmt: skip
        out = tmp_path / str(number)
        fit(adata, out=out, **given)
        errors = json.loads((out / "errors.json").read_text())["stage_1"]
        assert set(errors) == {"before", "after", "baselines"} and errors["after"]["mcm_mse"] > 0
    with pytest.raises(ValueError, match=r"'held_out' must leave a slice .*\(got 2 of 2 slices\)"):
        fit(adata, held_out=2)


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "adam"}, {"schedule": "constant"}, {"warmup": 0.5}, {"clip_norm": 1e-3}, {"beta_2": 0.5}],
)
def test_the_optimiser_is_a_setting(adata, optimizer):
    stage = {**STAGE, "optimizer": optimizer, "weight_decay": 0.5}
    base = fit(adata, config={**CONFIG, "stage_1": {**STAGE, "weight_decay": 0.5}})
    assert differs(fit(adata, config={**CONFIG, "stage_1": stage}), base)


def test_without_a_stage_nothing_is_trained(adata):
    none = {"stage_1": {"num_epochs": 0}, "stage_2": {"num_epochs": 0}}
    first, again = (fit(adata, config={**CONFIG, **none}) for _ in range(2))
    assert_same(first, again)
    assert differs(first, fitted()) and first.embed_anndata(adata).shape == (200, 16)


def test_one_cell_and_other_slices_too_small(adata):
    with pytest.raises(ValueError, match="at least two cells"):
        fit(adata[:1].copy())
    names = np.array(["a"] * 199 + ["alone"])
    adata.obs["slice"] = names
    with pytest.raises(ValueError, match="(?i)slice 'alone' needs at least two cells at different"):
        fit(adata)
    with pytest.raises(ValueError, match="no cell to fit to|0 cells"):
        fit(adata[:0].copy())
    with pytest.raises(ValueError, match="'data' is empty"):
        fit([])


def test_what_no_model_can_be_fitted_to(adata):
    with pytest.raises(ValueError, match="made without a radius, which ties the cells"):
        fit(adata, radius=None)
    for data in (5, [5]):
        with pytest.raises(TypeError, match="Expected an AnnData or the path of .* got int"):
            fit(data)
    adata.obsm["spatial"][3] = np.nan
    adata.obsm["X_own"] = np.random.default_rng(0).normal(size=(200, 4))
    for name in ("pca", "X_own"):
        with pytest.raises(ValueError, match="1 of 100 positions .* are not finite, the first in row 3"):
            fit(adata, features=name)


def test_a_slice_smaller_than_a_region(adata):
    few = adata[adata.obs["slice"] == "slice0"][:12].copy()
    model = fit(few)
    assert model.embed_anndata(few).shape == (12, 16)
    assert model.embed_anndata(few).isfinite().all()


def test_no_gene_in_common(adata):
    other = make_tissue(num_slices=1)
    other.var_names = [f"probe{i}" for i in range(40)]
    with pytest.raises(ValueError, match="have 0 genes in common .of 40 to 40., too few"):
        fit([adata, other])


def test_normalised_counts(adata):
    adata.X.data = np.log1p(adata.X.data)
    with pytest.raises(ValueError, match="Expected counts in 'adata.X', found .* fractional"):
        fit(adata)


def test_a_folder_that_cannot_be_is_found_out_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("stofm_pyg.train.pretraining._fit.corpus_in_memory", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, in whose place a folder is needed"):
        fit(make_tissue(), out=tmp_path / "file" / "run")
