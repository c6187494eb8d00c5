r"""Scores of slices that are predicted in several folds."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.splits import Fold


def scores_of_slices(
    folds: Sequence[Fold], names: Sequence[str], score: Callable[[Fold], Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    r"""The metrics of each slice, means over its folds. Taken over all folds at once, a correlation
    would see the offsets between their heads: the mean of the training cells, which is the lower the
    higher that of the test cells is, would correlate negatively with the truth.

    Args:
        folds (sequence of Fold): The folds; one with a single test cell is left out.
        names (sequence of str): The names of the slices.
        score (callable): The metrics of a fold.
    """
    found: dict[str, list[Mapping[str, float]]] = {}
    for fold in folds:
        if fold.test.size > 1:
            found.setdefault(names[fold.slice], []).append(score(fold))
    return {
        name: {metric: float(np.mean([part[metric] for part in parts])) for metric in parts[0]}
        for name, parts in found.items()
    }


def known_means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    r"""The mean of each number over those of some dictionaries that are not NaN; without what is NaN
    in all of them."""
    values = {name: [part[name] for part in parts if not np.isnan(part[name])] for name in parts[0]}
    return {name: float(np.mean(known)) for name, known in values.items() if known}
