import pytest

from stofm_pyg.data.get_counts import get_counts


def test_counts_of_x_or_layer(make_adata):
    adata = make_adata()
    adata.layers["double"] = adata.X * 2
    assert (get_counts(adata) != adata.X).nnz == 0
    assert (get_counts(adata, "double") != adata.X * 2).nnz == 0


@pytest.mark.parametrize("value, kind", [(-1.0, "negative"), (0.5, "fractional")])
def test_error_names_the_matrix_the_cell_and_the_gene(make_adata, value, kind):
    adata = make_adata()
    norm = adata.X.tolil()
    norm[7, 3] = value
    adata.layers["norm"] = norm.tocsr()
    with pytest.raises(ValueError) as error:
        get_counts(adata, "norm")
    message = str(error.value)
    assert f"'adata.layers['norm']', found 1 {kind} values" in message
    assert f"{value} in cell 'cell7' (number 7) and gene 'Gene3' (number 3)" in message
