import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from stofm_pyg.plot import class_colors, plot_training_curves
from stofm_pyg.plot.event_files import read_scalars
from tests.plot.plot_case import legend_texts


@pytest.fixture
def run(tmp_path):
    """A run of two stages as training leaves it."""
    for stage, first in (("stage_1", 5.0), ("stage_2", 3.0)):
        with SummaryWriter(str(tmp_path / "tensorboard" / stage)) as writer:
            for step in range(1, 101):
                writer.add_scalar("train/cells_per_second", 100.0, step)
                writer.add_scalar("train/mcm", 1.0, step)
                writer.add_scalar("train/loss", first - step / 100 + (-1) ** step, step)
            writer.add_scalar("held_out/mcm", 2.0, 0)
            writer.add_scalar("held_out/mcm", 1.5, 100)
    return tmp_path


def test_curves_of_all_stages_and_of_held_out_slices(run):
    figure = plot_training_curves(run)
    loss, mcm = figure.axes
    assert [ax.get_title() for ax in (loss, mcm)] == ["loss", "mcm"]
    stages = ["stage_1", "stage_2"]
    expected = [*stages, *(f"{stage}, held_out" for stage in stages)]
    assert legend_texts(figure.legends[0]) == expected
    raw, smooth, *_ = loss.lines
    np.testing.assert_array_equal(raw.get_xdata(), np.arange(1, 101))
    np.testing.assert_allclose(raw.get_ydata()[:2], [3.99, 5.98], rtol=1e-6)
    values = raw.get_ydata()
    np.testing.assert_allclose(smooth.get_ydata()[50], values[48:53].mean(), rtol=1e-6)
    np.testing.assert_allclose(smooth.get_ydata()[[0, -1]], values[[0, -1]])
    assert [line.get_color() for line in loss.lines[1::2]] == [tuple(color) for color in class_colors(2)]
    dots = [line for line in mcm.lines if line.get_marker() == "o"]
    assert [line.get_ydata().tolist() for line in dots] == [[2.0, 1.5], [2.0, 1.5]]


def test_named_numbers_and_the_folder_of_the_curves(run, tmp_path):
    figure = plot_training_curves(run / "tensorboard", names=["cells_per_second"])
    (ax,) = figure.axes
    assert ax.get_title() == "cells_per_second" and set(ax.lines[0].get_ydata()) == {100.0}
    assert list(read_scalars(run / "tensorboard" / "stage_1")) == ["stage_1"]
    with pytest.raises(ValueError, match="'los' is not in 'the run'.* mean 'loss'"):
        plot_training_curves(run, names=["los"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty' has no training curves: looked for"):
        plot_training_curves(tmp_path / "empty")


def test_a_step_that_was_done_again_counts_once(tmp_path):
    for value in (3.0, 4.0):
        with SummaryWriter(str(tmp_path / "stage")) as writer:
            writer.add_scalar("train/loss", value, 7)
    steps, values = read_scalars(tmp_path)["stage"]["train/loss"]
    assert steps.tolist() == [7] and len(values) == 1
