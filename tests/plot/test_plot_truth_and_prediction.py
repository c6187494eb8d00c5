import numpy as np
import pytest
from matplotlib.colors import to_rgba

from stofm_pyg.plot import class_colors, plot_truth_and_prediction
from tests.plot.plot_case import GREY, PNG, POS, dots, legend_texts, piece, small_tissue


def test_truth_and_prediction(tmp_path, figures):
    path = tmp_path / "both.png"
    plot_truth_and_prediction([piece("s1"), piece("s2", prediction=(0, 1, 2, 0, 1))], path)
    assert path.read_bytes()[:8] == PNG
    assert [file.name for file in tmp_path.iterdir()] == ["both.png"]

    (figure,) = figures
    assert len(figure.axes) == 6
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == ["s1: truth", "prediction", "errors: 25.0%"]
    assert titles[3:] == ["s2: truth", "prediction", "errors: 0.0%"]
    truth, prediction, errors = (dots(ax) for ax in figure.axes[:3])
    colors = class_colors(3)
    for i, pos in enumerate(map(tuple, POS.tolist())):
        assert truth[pos][:4] == (GREY if i == 3 else tuple(colors[[0, 1, 2, -1, 1][i]]))
        assert prediction[pos][:4] == tuple(colors[[0, 2, 2, 1, 1][i]])
        expected = {1: to_rgba("#D62728"), 3: GREY}.get(i, to_rgba("#C6D3DC"))
        assert errors[pos][:4] == expected
    assert legend_texts(figure.legends[0]) == ["a", "b", "c", "unknown", "error"]


def test_errors_lie_on_top(tmp_path, figures):
    plot_truth_and_prediction([piece()], tmp_path / "both.png")
    cells = max(figures[0].axes[2].collections, key=lambda cells: cells.get_zorder())
    np.testing.assert_array_equal(cells.get_offsets()[-1], POS[1])


def test_nothing_scored(tmp_path, figures):
    plot_truth_and_prediction([piece(truth=[-1] * 5)], tmp_path / "both.png")
    assert figures[0].axes[2].get_title() == "errors: none scored"


def test_columns_of_a_table():
    adata = small_tissue()
    adata.obs["layer"] = adata.obs["stofm_domain"].cat.rename_categories(["L1", "L2", "L3"])
    adata.obs["stofm_layer"] = adata.obs["layer"].copy()
    adata.obs.loc["cell0", "stofm_layer"] = "L3"
    figure = plot_truth_and_prediction(adata, truth="layer")
    assert [ax.get_title() for ax in figure.axes[::3]] == ["s1: truth", "s2: truth"]
    assert [ax.get_title() for ax in figure.axes[2::3]] == ["errors: 1.7%", "errors: 0.0%"]
    assert dots(figure.axes[1])[(0.0, 0.0)][:4] == tuple(class_colors(3)[2])


def test_domains_that_were_found_are_matched_to_classes():
    adata = small_tissue()
    adata.obs["layer"] = adata.obs["stofm_domain"].cat.rename_categories(["L1", "L2", "L3"])
    adata.obs["found"] = adata.obs["stofm_domain"].cat.rename_categories(["x", "y", "z"])
    adata.obs["found"] = adata.obs["found"].cat.reorder_categories(["z", "y", "x"])
    with pytest.raises(ValueError, match="'found' has the class 'z', which is none of .*'match=True'"):
        plot_truth_and_prediction(adata, truth="layer", prediction="found")
    figure = plot_truth_and_prediction(adata, truth="layer", prediction="found", match=True)
    assert [ax.get_title() for ax in figure.axes[1:3]] == ["matched domains", "errors: 0.0%"]
    assert dots(figure.axes[1])[(0.0, 0.0)][:4] == tuple(class_colors(3)[0])
