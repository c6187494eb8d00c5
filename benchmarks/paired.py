r"""Differences of two rows of a table, paired over seeds and slices."""

from collections.abc import Mapping, Sequence

import numpy as np

NUM_DRAWS = 10_000


def paired_difference(
    runs: Sequence[Mapping], name: str, other: str, metric: str = "macro_f1", seed: int = 0
) -> dict[str, float] | None:
    r"""The mean difference of a metric between two methods on the same slices with the same seeds, and
    its interval of 95 % by the bootstrap (pairs drawn with replacement).

    Args:
        runs (sequence of dict): The runs of a benchmark, with :obj:`method`, :obj:`seed` and
            :obj:`slices`. A method that has one run is compared with all seeds of the other.
        name (str): The method.
        other (str): The method that it is compared with.
        metric (str, optional): The metric. (default: :obj:`"macro_f1"`)
        seed (int, optional): The seed of the bootstrap. (default: :obj:`0`)

    Returns:
        :obj:`mean`, :obj:`low`, :obj:`high` and the number of :obj:`pairs`; :obj:`None` where there are
        none.
    """
    mine = {run["seed"]: run["slices"] for run in runs if run["method"] == name}
    theirs = {run["seed"]: run["slices"] for run in runs if run["method"] == other}
    pairs = []
    for number, slices in mine.items():
        against = theirs.get(number) or (next(iter(theirs.values())) if len(theirs) == 1 else {})
        pairs += [slices[key][metric] - against[key][metric] for key in slices if key in against]
    if not pairs:
        return None
    pairs = np.array(pairs)
    draws = np.random.default_rng(seed).integers(len(pairs), size=(NUM_DRAWS, len(pairs)))
    low, high = np.quantile(pairs[draws].mean(axis=1), [0.025, 0.975])
    return {
        "mean": float(pairs.mean()), "low": float(low), "high": float(high), "pairs": len(pairs)
    }  # fmt: skip


def told(difference: Mapping[str, float] | None) -> str:
    r"""A difference in a cell of a table."""
    if difference is None:
        return ""
    return f"{difference['mean']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"
