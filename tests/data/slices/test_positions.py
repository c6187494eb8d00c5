import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stofm_pyg.data.slices.positions import check_spread, get_positions


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.uint16])
def test_float64(make_adata, dtype):
    adata = make_adata()
    adata.obsm["spatial"] = adata.obsm["spatial"].astype(dtype)
    pos = get_positions(adata)
    assert pos.dtype == np.float64 and np.array_equal(pos, adata.obsm["spatial"])


def test_data_frame_and_other_key(make_adata):
    adata = make_adata()
    expected = adata.obsm["spatial"] + 1
    adata.obsm["xy"] = pd.DataFrame(expected, index=adata.obs_names, columns=["x", "y"])
    assert np.array_equal(get_positions(adata, "xy"), expected)


def test_missing_key(make_adata):
    adata = make_adata()
    adata.obsm["X_spatial"] = adata.obsm.pop("spatial")
    with pytest.raises(ValueError) as error:
        get_positions(adata)
    assert str(error.value) == (
        "'spatial' is not in 'adata.obsm', which holds 'X_spatial'. Did you mean 'X_spatial'? "
        "Pass 'spatial_key=' with the key of the positions, or set 'adata.obsm['spatial']' to an "
        "array of shape [60, 2]."
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(make_adata, bad):
    adata = make_adata()
    adata.obsm["spatial"][7, 1] = adata.obsm["spatial"][50] = bad
    with pytest.raises(ValueError, match=rf"2 of 60 positions .* row 7 \(cell 'cell7'\).*{bad}"):
        get_positions(adata)
    mended = adata[np.isfinite(adata.obsm["spatial"]).all(axis=1)]
    assert get_positions(mended).shape == (58, 2)


@pytest.mark.parametrize("columns", [1, 4])
def test_wrong_shape(make_adata, columns):
    adata = make_adata()
    adata.obsm["spatial"] = np.ones((60, columns))
    with pytest.raises(ValueError, match=rf"shape \[60, {columns}\], expected \[60, 2\].*pos\[:, :2\]"):
        get_positions(adata)


def test_a_third_coordinate(make_adata):
    adata = make_adata()
    flat = adata.obsm["spatial"]
    adata.obsm["spatial"] = np.column_stack([flat, np.full(60, 7.5)])
    np.testing.assert_array_equal(get_positions(adata), flat)
    adata.obsm["spatial"][30:, 2] = 1.0
    with pytest.raises(ValueError, match="7.5 of cell 'cell0', 1 of 'cell30'. Pass 'slice_key=\"z\"'"):
        get_positions(adata)
    halves = [np.arange(30), np.arange(30, 60)]
    np.testing.assert_array_equal(get_positions(adata, slices=halves), flat)


def test_empty(make_adata):
    with pytest.raises(ValueError, match="0 cells; a slice needs at least two"):
        get_positions(make_adata()[:0])


def test_two_positions_are_enough():
    assert check_spread(np.array([[1.0, 2.0], [1.0, 3.0]])) is None


@pytest.mark.parametrize(
    "num_cells, where",
    [(0, "it has 0 cells."), (1, "1 cell, at [1.0, 2.0]."), (3, "3 cells, at [1.0, 2.0].")],
)
def test_fewer_are_not(num_cells, where):
    pos = np.tile([1.0, 2.0], (num_cells, 1))
    with pytest.raises(ValueError) as error:
        check_spread(pos, "left")
    assert str(error.value).startswith("Slice 'left' needs at least two cells at different")
    assert where in str(error.value) and "'spatial_key'" in str(error.value)


@pytest.mark.parametrize("dtype", [object, str])
def test_positions_that_are_no_numbers(make_adata, dtype):
    adata = make_adata()
    text = adata.obsm["spatial"].astype("U32").astype(dtype)
    adata.obsm["spatial"] = text
    assert np.allclose(get_positions(adata), make_adata().obsm["spatial"])
    text[7, 1] = "left"
    adata.obsm["spatial"] = text
    with pytest.raises(ValueError, match=r"row 7 \(cell 'cell7'\): .*'left'"):
        get_positions(adata)


def test_sparse_masked_and_complex(make_adata):
    adata = make_adata()
    pos = adata.obsm["spatial"]
    adata.obsm["sparse"] = sparse.csr_matrix(pos)
    assert np.array_equal(get_positions(adata, "sparse"), pos)
    adata.obsm["masked"] = np.ma.masked_array(pos, mask=pos == pos[3, 1])
    with pytest.raises(ValueError, match=r"1 of 60 positions .* row 3 \(cell 'cell3'\)"):
        get_positions(adata, "masked")
    adata.obsm["complex"] = pos + 1j
    with pytest.raises(ValueError, match=r"are no numbers in row 0 \(cell 'cell0'\)"):
        get_positions(adata, "complex")


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e304])
def test_positions_that_cannot_be_computed_with(scale):
    pos = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    check_spread(pos * 1e-90)
    check_spread(pos * 1e90)
    with pytest.raises(ValueError, match="Slice 'a' is .* wide, .* in another unit, such as microns"):
        check_spread(pos * scale, "a")
