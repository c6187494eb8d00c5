import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from stofm_pyg.plot import (
    class_colors,
    plot_confusion,
    plot_domains,
    plot_slice,
    plot_truth_and_prediction,
)

PNG = b"\x89PNG\r\n\x1a\n"
GREY = to_rgba("#D9D9D9")
POS = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.5]])


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved."""
    saved, savefig = [], Figure.savefig

    def remember(self, *args, **kwargs):
        saved.append(self)
        return savefig(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", remember)
    return saved


def piece(name="s1", truth=(0, 1, 2, -1, 1), prediction=(0, 2, 2, 1, 1), classes="abc"):
    return {
        "name": name,
        "pos": POS,
        "truth": np.array(truth),
        "prediction": np.array(prediction),
        "classes": list(classes),
    }


def dots(ax):
    """Position, colour and area of every dot of the axes."""
    found = {}
    for cells in ax.collections:
        colors = np.broadcast_to(cells.get_facecolors(), (len(cells.get_offsets()), 4))
        for pos, color in zip(cells.get_offsets().tolist(), colors, strict=True):
            found[tuple(pos)] = (*color.tolist(), cells.get_sizes()[0])
    return found


def legend_texts(legend):
    return [text.get_text() for text in legend.get_texts()]


@given(st.integers(0, 40))
def test_class_colors_differ_from_each_other_and_from_grey(num_classes):
    colors = class_colors(num_classes)
    assert colors.shape == (num_classes, 4)
    assert (colors >= 0).all() and (colors <= 1).all() and (colors[:, 3] == 1).all()
    everything = np.concatenate([colors, [GREY]])
    gap = np.linalg.norm(everything[:, None] - everything[None], axis=-1)
    np.fill_diagonal(gap, np.inf)
    assert gap.min() > 0.09


def test_class_colors_stay_as_classes_are_added():
    np.testing.assert_array_equal(class_colors(3), class_colors(8)[:3])
    np.testing.assert_array_equal(class_colors(9), class_colors(18)[:9])
    np.testing.assert_array_equal(class_colors(1)[0], to_rgba("#0072B2"))


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


@pytest.mark.parametrize(("num_slices", "shape"), [(1, (1, 1)), (3, (1, 3)), (7, (3, 3))])
def test_domains(tmp_path, figures, num_slices, shape):
    slices = [piece(f"slice {number}") for number in range(num_slices)]
    for given_slice in slices:
        del given_slice["truth"]
    plot_domains(slices, str(tmp_path / "domains.png"))
    assert (tmp_path / "domains.png").read_bytes()[:8] == PNG
    axes = figures[0].axes
    assert [ax.get_title() for ax in axes] == [f"slice {number}" for number in range(num_slices)]
    assert axes[0].get_gridspec().get_geometry() == shape
    found = dots(axes[-1])
    for pos, value in zip(POS.tolist(), [0, 2, 2, 1, 1], strict=True):
        assert found[tuple(pos)][:4] == tuple(class_colors(3)[value])
    assert legend_texts(figures[0].legends[0]) == ["a", "b", "c"]


def test_legend_does_not_cover_panels(tmp_path, figures):
    classes = [f"a class with a long name {number}" for number in range(25)]
    plot_domains([piece(classes=classes), piece("s2", classes=classes)], tmp_path / "domains.png")
    (figure,) = figures
    legend = figure.legends[0].get_window_extent()
    for ax in figure.axes:
        assert ax.get_window_extent().width > 250 and ax.get_window_extent().x1 <= legend.x0
    longest = max(legend_texts(figure.legends[0]), key=len)
    assert len(longest) == 24 and "…" in longest


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


@pytest.mark.parametrize(("name", "start"), [("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_other_formats(tmp_path, name, start):
    plot_domains([piece()], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "confusion.png"
    plot_confusion([[1]], ["a"], path)
    before = path.read_bytes()

    def full(self, part, **kwargs):
        part.write_bytes(PNG)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    for draw in (
        lambda: plot_confusion([[2]], ["a"], path),
        lambda: plot_domains([piece()], tmp_path / "domains.png"),
        lambda: plot_truth_and_prediction([piece()], tmp_path / "both.png"),
    ):
        with pytest.raises(OSError, match="No space left"):
            draw()
    assert [file.name for file in tmp_path.iterdir()] == ["confusion.png"]
    assert path.read_bytes() == before


def test_bad_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder '.*absent' for the picture 'a.png'"):
        plot_domains([piece()], tmp_path / "absent" / "a.png")
    with pytest.raises(ValueError, match="a.jpeg' does not end in .png, .pdf or .svg"):
        plot_confusion([[1]], ["a"], tmp_path / "a.jpeg")


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


def test_bad_slices(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="no slice to draw; pass at least one"):
        plot_domains([], path)
    with pytest.raises(ValueError, match="Slice 1 has no 'truth' but .*; add it"):
        without = {key: value for key, value in piece().items() if key != "truth"}
        plot_truth_and_prediction([piece(), without], path)
    with pytest.raises(ValueError, match="in 'truth' of slice 's2'.* not one of 3 classes"):
        plot_truth_and_prediction([piece(), piece("s2", truth=(7, 0, 0, 0, 0))], path)
    with pytest.raises(ValueError, match="Classes of slice 's2' are .*share the colours"):
        plot_domains([piece(), piece("s2", classes="abd")], path)
    assert list(tmp_path.iterdir()) == []


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
