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


def test_a_data_frame_is_taken_by_the_names_of_the_cells(make_adata):
    adata = make_adata()
    values = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    frame = pd.DataFrame(values, index=adata.obs_names)
    more = pd.concat([frame, frame.set_axis([f"other{i}" for i in range(60)])])
    for given in (frame, frame.sort_index(), frame[::-1], more.sort_index(ascending=False)):
        assert np.array_equal(get_features(adata, given), values)
        adata.obsm["mine"] = frame
        assert np.array_equal(get_features(adata, "mine"), values)


def test_a_data_frame_of_other_cells_is_refused(make_adata):
    adata = make_adata()
    frame = pd.DataFrame(np.zeros((60, 5)), index=adata.obs_names)
    with pytest.raises(ValueError) as error:
        get_features(adata, frame.rename({"cell7": "seven"}))
    assert str(error.value) == (
        "Rows of 'features' have other names than 'adata.obs_names': the first that differs is 'seven' "
        "instead of 'cell7', and 1 of 60 are not among them, the first 'cell7'. Pass '.to_numpy()' if "
        "its rows are those of the cells all the same."
    )
    with pytest.raises(ValueError, match="is '0' instead of 'cell0', and 60 of 60 are not among"):
        get_features(adata, frame.reset_index(drop=True))
    with pytest.raises(ValueError, match="there are 50 instead of 60, and 10 of 60"):
        get_features(adata, frame[:50])
    twice = frame.rename({"cell1": "cell0"})
    with pytest.raises(ValueError, match="some are there several times"):
        get_features(adata, twice)
    adata.obs_names = twice.index  # As they are, in this order.
    assert get_features(adata, twice).shape == (60, 5)


@pytest.mark.parametrize("bad", ["text", 1j])
def test_what_are_no_real_numbers_is_refused(make_adata, bad):
    adata = make_adata()
    adata.obsm["X_own"] = pd.DataFrame({"a": 1.0, "b": bad}, index=adata.obs_names)
    with pytest.raises(ValueError, match=r"'adata.obsm\['X_own'\]' holds what are no real numbers"):
        get_features(adata, "X_own")
