import numpy as np

from benchmarks.fold_scores import known_means, scores_of_slices
from benchmarks.splits import Fold


def test_scores_of_a_slice_are_means_over_its_folds():
    folds = [Fold(0, {}, np.arange(3)), Fold(1, {}, np.arange(2)), Fold(0, {}, np.arange(7))]
    folds.append(Fold(1, {}, np.array([4])))  # A single cell has no correlation.
    found = scores_of_slices(folds, ["a", "b"], lambda fold: {"size": fold.test.size, "one": 1})
    assert found == {"a": {"size": 5.0, "one": 1.0}, "b": {"size": 2.0, "one": 1.0}}


def test_means_of_what_is_known():
    parts = [{"a": 1.0, "b": np.nan, "c": np.nan}, {"a": 2.0, "b": 5.0, "c": np.nan}]
    assert known_means(parts) == {"a": 1.5, "b": 5.0}
