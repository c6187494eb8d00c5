import numpy as np
import pytest

from benchmarks.annotation import annotate_slices


def make_cells(spread):
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 40)
    slices = np.repeat([0, 1, 2], 40)
    x = np.eye(3)[labels] + rng.normal(size=(120, 3)) * spread
    return x, labels, slices


def test_classes_that_lie_apart_and_noise():
    x, labels, slices = make_cells(0.05)
    scores = annotate_slices(x, labels, slices, ["a", "b", "c"])
    assert len(scores) == 3 and all(score == {"macro_f1": 1.0, "accuracy": 1.0} for score in scores)
    noise = annotate_slices(np.zeros_like(x), labels, slices, ["a", "b", "c"])
    assert all(score["accuracy"] < 0.5 for score in noise)


def test_unknown_labels_are_left_out():
    x, labels, slices = make_cells(0.05)
    labels = np.where(slices == 1, -1, labels)
    x[slices == 1] = 1e6
    assert len(annotate_slices(x, labels, slices, ["a", "b", "c"])) == 2


def test_training_cells_may_be_limited():
    x, labels, slices = make_cells(1.0)
    few = annotate_slices(x, labels, slices, ["a", "b", "c"], max_train=20, seed=1)
    assert few == annotate_slices(x, labels, slices, ["a", "b", "c"], max_train=20, seed=1)
    assert few != annotate_slices(x, labels, slices, ["a", "b", "c"])


def test_one_slice():
    x, labels, _ = make_cells(0.05)
    with pytest.raises(ValueError, match="Two slices with labels are needed"):
        annotate_slices(x, labels, np.zeros(120, dtype=int), ["a", "b", "c"])
