import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from stofm_pyg.plot import class_colors, plot_slice
from tests.plot.plot_case import GREY, POS, dots, legend_texts, scale_bar


@pytest.mark.parametrize("convert", [np.array, list, torch.tensor])
def test_cells_have_the_colours_of_their_classes(convert):
    ax = plot_slice(
        torch.from_numpy(POS) if convert is torch.tensor else POS,
        convert([2, 0, -1, 1, 2]),
        classes=["a", "b", "c"],
        title="one",
        size=10,
    )
    colors = class_colors(3)
    found = dots(ax)
    for pos, value in zip(POS.tolist(), [2, 0, -1, 1, 2], strict=True):
        color, area = (GREY, 5) if value < 0 else (tuple(colors[value]), 10)
        assert found[tuple(pos)] == (*color, area)
    assert legend_texts(ax.get_legend()) == ["a", "b", "c", "unknown"]
    handles = ax.get_legend().legend_handles
    assert [to_rgba(handle.get_color()) for handle in handles] == [*map(tuple, colors), GREY]
    assert ax.get_title() == "one"
    assert ax.get_aspect() == 1.0
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


def test_whole_numbers_name_themselves():
    assert legend_texts(plot_slice(POS, [0, 2, 1, 0, 0]).get_legend()) == ["0", "1", "2"]
    assert legend_texts(plot_slice(POS, POS[:, 0] > 0).get_legend()) == ["0", "1"]


def test_numbers_have_a_colour_scale():
    values = np.array([0.0, 5.0, np.nan, 10.0, 2.5])
    ax = plot_slice(POS, values, size=8)
    unknown, cells = sorted(ax.collections, key=lambda cells: cells.get_zorder())
    np.testing.assert_array_equal(cells.get_array(), values[[0, 1, 3, 4]])
    np.testing.assert_array_equal(cells.get_offsets(), POS[[0, 1, 3, 4]])
    np.testing.assert_array_equal(unknown.get_offsets(), POS[[2]])
    np.testing.assert_array_equal(unknown.get_facecolors(), [GREY])
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 2  # The other one is the colour bar.
    assert cells.get_clim() == (0.0, 10.0)


def test_draws_on_given_axes():
    ax = Figure().subplots()
    assert plot_slice(POS, [0, 1, 0, 1, 0], ax=ax) is ax


def test_cells_are_smaller_where_there_are_more():
    rng = np.random.default_rng(0)

    def area(num_cells):
        ax = plot_slice(rng.random((num_cells, 2)), np.zeros(num_cells, dtype=int))
        return ax.collections[0].get_sizes()[0]

    assert area(2500) == pytest.approx(4 * area(10_000), rel=0.05)
    assert area(10**6) >= 0.3


def test_no_pyplot_is_loaded():
    code = (
        "import sys, stofm_pyg.plot as p;"
        "p.plot_slice([[0, 0], [1, 1]], [0, 1]).figure.canvas.draw();"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("pos", "values", "message"),
    [
        (POS, [0, 1], r"values of shape \(2,\) for 5 cells; pass one for each cell"),
        (POS, [0.5, 1.5], r"values of shape \(2,\) for 5 cells"),
        (POS[:, :1], [0] * 5, r"Positions have shape \(5, 1\); pass x and y"),
        (POS * [1, np.nan], [0] * 5, r"position of cell 0 is \[ ?0. +nan\]; leave such cells out"),
    ],
)
def test_bad_positions_and_values(pos, values, message):
    with pytest.raises(ValueError, match=message):
        plot_slice(pos, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1, 3, 0, 0], "Class number 3 is not one of 3 classes; pass 0 to 2, and -1"),
        ([0, 1, -2, 0, 0], "Class number -2 is not one of 3 classes"),
        ([0, 1, 0.5, 0, 0], "Class numbers are of type float64; pass whole numbers"),
        (["a", "b", "a", "b", "c"], "Class numbers are of type <U1; pass .*cat.codes"),
    ],
)
def test_bad_class_numbers(values, message):
    with pytest.raises(ValueError, match=message):
        plot_slice(POS, values, classes=["a", "b", "c"])


def test_words_without_classes():
    with pytest.raises(ValueError, match="are of type <U1; pass"):
        plot_slice(POS, list("abcab"))


def test_a_scale_bar_where_the_unit_is_told():
    assert len(plot_slice(POS, [0, 1, 0, 1, 0]).lines) == 0
    assert scale_bar(plot_slice(POS, [0, 1, 0, 1, 0], unit="micron")) == (0.5, "0.5 µm")
    assert scale_bar(plot_slice(POS, POS[:, 0], microns_per_unit=100.0)) == (0.5, "50 µm")
