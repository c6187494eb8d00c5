import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stofm_pyg.data import validate_counts

module = importlib.import_module("stofm_pyg.data.validate_counts")
FORMATS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "coo": sparse.coo_matrix}
FORMATS["dense"] = np.asarray


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_counts_pass(make, dtype):
    counts = np.array([[0, 3, 0], [255, 0, 1]], dtype=dtype)
    assert validate_counts(make(counts)) is None
    assert validate_counts(make(np.zeros((2, 3), dtype=dtype))) is None


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    "value, kind", [(-2.0, "negative"), (0.25, "fractional"), (np.nan, "non-finite")]
)
@given(cell=st.integers(0, 3), gene=st.integers(0, 4))
def test_names_the_value_its_cell_and_its_gene(make, value, kind, cell, gene):
    counts = np.ones((4, 5))
    counts[cell, gene] = value
    cells, genes = [f"cell{i}" for i in range(4)], [f"Gene{i}" for i in range(5)]
    with pytest.raises(ValueError) as error:
        validate_counts(make(counts), "adata.layers['norm']", cells, genes)
    message = str(error.value)
    assert f"found 1 {kind} values" in message and f": {value}" in message
    assert f"cell 'cell{cell}' (number {cell})" in message
    assert f"gene 'Gene{gene}' (number {gene})" in message
    assert "adata.layers['norm']" in message
    assert "'layer='" in message and "features='X_pca'" in message


def test_counts_the_wrong_values():
    with pytest.raises(
        ValueError, match="found 2 fractional values of 3: 0.5 in cell 0 and gene 1"
    ):
        validate_counts(sparse.csr_matrix([[0, 0.5, 1], [0, 0, 1.5]]))


def test_negative_infinity_is_non_finite():
    with pytest.raises(ValueError, match="1 non-finite values of 2: -inf"):
        validate_counts(np.array([[-1.0, -np.inf]]))


def test_mends_that_fit_any_reader_of_counts():
    with pytest.raises(ValueError) as error:
        validate_counts(np.array([[0.5]]))
    assert "Pass 'layer=' with the layer that holds raw counts" in str(error.value)
    assert "'from_anndata' also takes an embedding" in str(error.value)


def test_rows_of_a_larger_matrix():
    names = [f"cell{i}" for i in range(3000)]
    with pytest.raises(ValueError) as error:
        validate_counts(np.array([[1, 2], [0.5, -1]]), cell_names=names, first_cell=2000)
    assert "found 1 negative values of 4 of cells 2,000 to 2,001: -1.0" in str(error.value)
    assert "in cell 'cell2001' (number 2001) and gene 1" in str(error.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(position=st.integers(0, 11), bad=st.sampled_from([np.nan, np.inf, -np.inf, -1, 1.5, None]))
def test_every_block_is_looked_at(dtype, position, bad):
    counts = np.arange(12, dtype=dtype).reshape(3, 4)
    if bad is not None:
        counts.flat[position] = bad
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "VALUES_PER_BLOCK", 5)
        if bad is None:
            validate_counts(counts)
        else:
            with pytest.raises(ValueError, match="found 1 "):
                validate_counts(counts)
