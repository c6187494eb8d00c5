import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from stofm_pyg.plot import class_colors, colors_of
from stofm_pyg.plot.colors import seen_colors
from tests.plot.plot_case import GREY


@given(st.integers(0, 60))
def test_class_colors_stay_as_classes_are_added(num_classes):
    colors = class_colors(num_classes)
    assert colors.shape == (num_classes, 4)
    assert (colors >= 0).all() and (colors <= 1).all() and (colors[:, 3] == 1).all()
    np.testing.assert_array_equal(colors, class_colors(60)[:num_classes])


@pytest.mark.parametrize(("num_classes", "least"), [(12, 0.075), (40, 0.05)])
def test_class_colors_differ_to_the_colour_blind_too(num_classes, least):
    seen = seen_colors(np.concatenate([class_colors(num_classes), [GREY, (1, 1, 1, 1)]]))
    gap = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1)
    gap[:, range(num_classes + 2), range(num_classes + 2)] = np.inf
    # Black and white, that is, the range of lightness, are one apart.
    assert gap[:, :num_classes].min() > least


def test_the_first_colours_are_those_of_okabe_and_ito():
    expected = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000"]
    np.testing.assert_array_equal(class_colors(8), [to_rgba(color) for color in expected])


def test_seen_colours_are_those_of_oklab():
    # Of the red primary, as published with the space; without red cones it is darker.
    seen = seen_colors(np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    np.testing.assert_allclose(seen[0, 0], [0.62796, 0.22486, 0.12585], atol=1e-4)
    np.testing.assert_allclose(seen[:, 1], [[1.0, 0.0, 0.0]] * 3, atol=1e-3)
    assert seen[1, 0, 0] < 0.5


def test_numbers_name_their_colours_also_where_some_are_missing():
    np.testing.assert_array_equal(colors_of(["0", "2", "11"]), class_colors(12)[[0, 2, 11]])
    np.testing.assert_array_equal(colors_of(["2", "b"]), class_colors(2))
    np.testing.assert_array_equal(colors_of(["1000", "2"]), class_colors(2))
    assert colors_of([]).shape == (0, 4)


def test_the_order_of_names_does_not_matter():
    np.testing.assert_array_equal(colors_of(["rim", "core", "layer"]), class_colors(3)[[2, 0, 1]])


def test_given_colours_come_first():
    colors = colors_of(["a", "b"], {"b": "#ff0000", "c": "blue"})
    np.testing.assert_array_equal(colors, [class_colors(1)[0], (1, 0, 0, 1)])
