import logging

import numpy as np
import pytest
import torch
from scipy import sparse

from stofm_pyg.data.slices.slice_components import fit_slice_components
from stofm_pyg.models.features import PCAFeatures, SpatialSignal
from stofm_pyg.models.features import pca as module
from tests.models.fit_case import make_tissue


@pytest.fixture(scope="module")
def slices():
    adata = make_tissue()
    return [adata[adata.obs["slice"] == name].copy() for name in ("slice0", "slice1")]


@pytest.fixture(scope="module")
def features(slices):
    return PCAFeatures.fit(slices, num_features=5)


def test_components_centred_in_each_slice_and_scaled(slices, features):
    components = features.components
    scores = [components.transform(adata.X.tocsr()) for adata in slices]
    centred = [torch.from_numpy(x) for x in scores]
    places = [torch.from_numpy(adata.obsm["spatial"]) for adata in slices]
    factor = SpatialSignal(zip(centred, places, strict=True)).factor()
    assert features.num_features == 5 and repr(features) == "PCAFeatures(genes=40, num_features=5)"
    for adata, x in zip(slices, centred, strict=True):
        got = features.encode(adata)
        assert got.dtype == torch.float32 and got.shape == (100, 5)
        np.testing.assert_allclose(got.numpy(), x.numpy() * factor, atol=1e-5)


def test_other_cells_have_features_of_their_own_slice_alone(slices, features):
    half = slices[0][:50].copy()
    x = features.encode(half)
    assert torch.allclose(x.mean(dim=0), torch.zeros(5), atol=1e-5)
    want = features.components.transform(half.X.tocsr()) * features.factor
    np.testing.assert_allclose(x.numpy(), want, atol=1e-5)


def test_a_batch_effect_on_each_gene_is_gone(slices):
    # Deep counts, so that a factor per gene is a shift of the logarithms.
    rng = np.random.default_rng(0)
    deep = slices[0].copy()
    deep.X = sparse.csr_matrix(rng.integers(1000, 9000, deep.shape).astype(np.float32))
    other = deep.copy()
    other.X = sparse.csr_matrix(np.round(deep.X.toarray() * rng.uniform(0.3, 3, deep.n_vars)))
    features = PCAFeatures.fit([deep, other], 5)
    x, y = features.encode(deep), features.encode(other)
    assert float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]) > 0.98


def test_genes_in_another_order(slices, features):
    order = np.random.default_rng(0).permutation(40)
    moved = slices[0][:, order].copy()
    assert torch.allclose(features.encode(moved), features.encode(slices[0]), atol=1e-6)


def test_genes_that_the_model_does_not_know_are_left_out(slices, features):
    more = make_tissue()
    more = more[:100, [*range(40), *range(40)]].copy()
    more.var_names = [*slices[0].var_names, *(f"other{i}" for i in range(40))]
    assert torch.allclose(features.encode(more), features.encode(slices[0]), atol=1e-6)


def test_a_few_missing_genes_count_as_their_mean(slices, features, caplog):
    kept = [i for i in range(40) if i not in (3, 4)]
    with caplog.at_level(logging.WARNING):
        x = features.encode(slices[0][:, kept].copy())
    assert caplog.text == ""
    want = features.encode(slices[0])
    cosine = torch.cosine_similarity(x.flatten(), want.flatten(), dim=0)
    assert 0.8 < float(cosine) < 1 - 1e-6


def test_more_missing_genes_are_told(slices, features, caplog):
    with caplog.at_level(logging.WARNING):
        x = features.encode(slices[0][:, :30].copy())
    genes = list(slices[0].var_names)
    assert f"30 of the model's 40 genes are in 'adata.var_names' of the slice; missing are, e.g., " \
        f"{', '.join(genes[30:35])}. They count as their mean" in caplog.text  # fmt: skip
    # By hand: of the genes at hand, by their share of a cell's counts.
    own, counts = features.components, slices[0].X.toarray()[:, :30].astype(float)
    scaled = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    scaled *= own.target * own.share[:30].sum()
    y = np.log1p(scaled)
    drawn = (100 * y.var(axis=0) + 50 * own.deviation[:30] ** 2) / 150
    y = (y - y.mean(axis=0)) / np.sqrt(drawn) @ own.loadings[:30]
    np.testing.assert_allclose(x.numpy(), y * features.factor, atol=1e-5)


def test_too_few_genes(slices, features):
    few = slices[0][:, :15].copy()
    few.var_names = [*few.var_names[:10], *(f"probe{i}" for i in range(5))]
    with pytest.raises(ValueError) as error:
        features.encode(few)
    message = str(error.value)
    genes = list(slices[0].var_names)
    assert message.startswith("Only 10 of the model's 40 genes are in 'adata.var_names' of the slice")
    assert f"missing are, e.g., {', '.join(genes[10:15])}" in message
    assert "Give it the names that the model was fitted with, or fit a model to it" in message


def test_names_in_another_column(slices, features):
    moved = slices[0].copy()
    moved.var["symbol"] = list(moved.var_names)
    moved.var_names = [f"ENSX{i:05d}" for i in range(40)]
    assert torch.equal(features.encode(moved), features.encode(slices[0]))


def test_normalised_counts(slices, features):
    adata = slices[0].copy()
    adata.X.data = np.log1p(adata.X.data)
    with pytest.raises(ValueError, match="Expected counts in 'adata.X', found .* fractional values"):
        features.encode(adata)
    with pytest.raises(ValueError, match="Expected counts in 'adata.X'"):
        PCAFeatures.fit([adata])


def test_the_genes_that_all_slices_have(slices):
    other = slices[1][:, 10:].copy()
    features = PCAFeatures.fit([slices[0], other], 5)
    assert features.genes == list(slices[0].var_names[10:])


def test_no_genes_in_common(slices):
    other = slices[1].copy()
    other.var_names = [f"other{i}" for i in range(40)]
    with pytest.raises(ValueError) as error:
        PCAFeatures.fit([slices[0], other], 5)
    assert "have 0 genes in common (of 40 to 40)" in str(error.value)
    assert f"{slices[0].var_names[0]!r} and 'other0'" in str(error.value)


def test_a_name_that_is_there_twice(slices):
    twice = slices[0].copy()
    twice.var_names = ["a", "a", *twice.var_names[2:]]
    with pytest.raises(ValueError, match="gene 'a' is there more than once.*var_names_make_unique"):
        PCAFeatures.fit([twice])


def test_fingerprint(slices, features):
    assert PCAFeatures.fit(slices, num_features=5).fingerprint() == features.fingerprint()
    assert PCAFeatures.fit(slices, num_features=4).fingerprint() != features.fingerprint()
    assert PCAFeatures.fit(slices[:1], num_features=5).fingerprint() != features.fingerprint()


def test_of_many_cells_some_tell_the_components(slices, features, monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 120)
    some = PCAFeatures.fit(slices, num_features=5, seed=3)
    kept = np.sort(np.random.default_rng(3).choice(200, 120, replace=False))
    parts = [slices[0][kept[kept < 100]], slices[1][kept[kept >= 100] - 100]]
    want = fit_slice_components([part.X.tocsr() for part in parts], 5)
    np.testing.assert_array_equal(some.components.loadings, want.loadings)
    assert some.fingerprint() != features.fingerprint()
