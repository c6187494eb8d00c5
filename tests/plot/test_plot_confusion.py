import numpy as np
import pytest
import torch

from stofm_pyg.plot import plot_confusion
from tests.plot.plot_case import PNG, small_tissue


def test_confusion(tmp_path, figures):
    matrix = torch.tensor([[3, 1, 0], [0, 0, 0], [2, 0, 6]])
    plot_confusion(matrix, ["a", "b", "c"], tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes()[:8] == PNG
    ax = figures[0].axes[0]
    np.testing.assert_array_equal(
        ax.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0.25, 0, 0.75]]
    )
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["0.75", "0.25", "0.00", "–", "–", "–", "0.25", "0.00", "0.75"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a (4)", "b (0)", "c (8)"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2]], r"shape \(1, 2\) for 2 classes; pass one row"),
        ([[1, -2], [0, 1]], "holds -2.0; pass numbers of cells"),
        ([[1, np.nan], [0, 1]], "holds nan; pass numbers of cells"),
    ],
)
def test_bad_matrix(tmp_path, matrix, message):
    with pytest.raises(ValueError, match=message):
        plot_confusion(matrix, ["a", "b"], tmp_path / "a.png")


def test_columns_of_a_table():
    adata = small_tissue()
    figure = plot_confusion(adata, truth="stofm_domain", prediction="stofm_domain")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), np.eye(3))
    adata.obs["stofm_cell_type"] = "A"
    figure = plot_confusion(adata, truth="cell_type")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[1, 0], [1, 0]])
    figure = plot_confusion(adata, truth="stofm_domain", prediction="stofm_cell_type")
    assert figure.axes[0].images[0].get_array().tolist() == [[1.0]] * 3
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["A"]
    figure = plot_confusion(adata, ["1", "0"], truth="stofm_domain", prediction="stofm_domain")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["1 (40)", "0 (40)"]
    with pytest.raises(ValueError, match="Name the true classes by 'truth=', one of"):
        plot_confusion(adata)
