import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from stofm_pyg.plot.scale_bar import Length, add_scale_bar, round_length, unit_length
from tests.plot.plot_case import POS, scale_bar


@given(st.floats(1e-6, 1e9))
def test_round_lengths(longest):
    length = round_length(longest)
    assert length <= longest * (1 + 1e-6) < 2.5 * length * (1 + 1e-6)
    assert round(length / 10 ** np.floor(np.log10(length * 1.001)), 6) in (1, 2, 5)


@pytest.mark.parametrize(
    ("unit", "microns", "expected"),
    [
        ("micron", None, (1.0, "µm")),
        ("spacing", None, (1.0, "cell spacings")),
        ("official", None, (0.5, "cell spacings")),
        (None, None, (0.5, "cell spacings")),
        (None, 0.65, (0.65, "µm")),
        ("spacing", 10.0, (10.0, "µm")),
    ],
)
def test_unit_length(unit, microns, expected):
    grid = 2.0 * np.stack(np.divmod(np.arange(400), 20), axis=1)
    length = unit_length(grid, unit, microns)
    assert length.name == expected[1] and length.value == pytest.approx(expected[0])


def test_no_length_and_bad_lengths():
    assert unit_length(POS[:1]) is None and unit_length(POS[[0, 0]]) is None
    with pytest.raises(ValueError, match=r"'microns_per_unit' must be positive .*got 0"):
        unit_length(POS, None, 0)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_bar_lies_below_the_tissue_and_is_as_long_as_it_says(inverted):
    pos = np.array([[10.0, 0.0], [1010.0, 400.0]])
    ax = Figure().subplots()
    if inverted:
        ax.invert_yaxis()
    add_scale_bar(ax, pos, Length(0.5, "µm"))
    assert scale_bar(ax) == (200.0, "100 µm")  # Up to 0.3 of 500 microns.
    assert ax.yaxis_inverted() == inverted
    (line,) = ax.lines
    y = line.get_ydata()[0]
    assert y > 400 if inverted else y < 0
    low, high = sorted(ax.get_ylim())
    assert low < y < high and low < 0 and high > 400
    assert ax.get_xlim()[0] < 10 and ax.get_xlim()[1] > 1010


def test_one_spacing_and_no_tissue():
    ax = Figure().subplots()
    add_scale_bar(ax, np.array([[0.0, 0.0], [4.0, 1.0]]), Length(1.0, "cell spacings"))
    assert scale_bar(ax) == (1.0, "1 cell spacing")
    for pos, length in ((POS, None), (POS[:0], Length(1.0, "µm")), (POS[[0, 0]], Length(1.0, "µm"))):
        ax = Figure().subplots()
        add_scale_bar(ax, pos, length)
        assert len(ax.lines) == 0 and len(ax.texts) == 0
