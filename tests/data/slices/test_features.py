import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from stofm_pyg.data import expression_pca
from stofm_pyg.data.slices.features import get_features


def test_pca_of_x_or_layer(make_adata):
    adata = make_adata()
    adata.layers["other"] = adata.X[::-1].copy()
    x = get_features(adata, num_features=7, seed=3)
    assert np.array_equal(x, expression_pca(adata.X, 7, seed=3))
    x = get_features(adata, layer="other", num_features=7)
    assert np.array_equal(x, expression_pca(adata.layers["other"], 7))


def test_pca_is_centred_per_slice(make_adata):
    adata, batch = make_adata(), np.arange(60) % 2
    x = get_features(adata, num_features=4, batch=batch)
    assert np.array_equal(x, expression_pca(adata.X, 4, batch=batch))


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        sparse.csr_matrix,
        lambda values: pd.DataFrame(values, index=[f"cell{i}" for i in range(60)]),
    ],
)
def test_obsm(make_adata, make):
    adata = make_adata()
    values = np.random.default_rng(0).standard_normal((60, 5))
    adata.obsm["X_pca"] = make(values)
    x = get_features(adata, "X_pca")
    assert x.dtype == np.float32 and np.array_equal(x, values.astype(np.float32))


@pytest.mark.parametrize("make", [np.asarray, lambda v: torch.tensor(v, requires_grad=True)])
def test_array(make_adata, make):
    values = np.random.default_rng(0).standard_normal((60, 5))
    x = get_features(make_adata(), make(values))
    assert x.dtype == np.float32 and np.array_equal(x, values.astype(np.float32))


def test_unknown_obsm(make_adata):
    with pytest.raises(ValueError, match="'X_pca' is not in 'adata.obsm', which holds 'spatial'"):
        get_features(make_adata(), "X_pca")


@pytest.mark.parametrize("shape", [(59, 5), (60,), (60, 0), (60, 2, 2)])
def test_wrong_shape(make_adata, shape):
    with pytest.raises(ValueError, match=r"expected \[60, F\]"):
        get_features(make_adata(), np.ones(shape))


def test_not_finite(make_adata):
    values = np.ones((60, 3))
    values[[4, 9], 2] = np.nan
    with pytest.raises(ValueError, match=r"2 of 60 cells .* row 4 \(cell 'cell4'\)"):
        get_features(make_adata(), values)


@pytest.mark.parametrize("value, kind", [(-1.0, "negative"), (0.5, "fractional")])
def test_pca_needs_counts(make_adata, value, kind):
    adata = make_adata()
    adata.X.data[5] = value
    with pytest.raises(ValueError, match=f"found 1 {kind}.*layer="):
        get_features(adata)
