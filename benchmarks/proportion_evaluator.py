r"""The metrics of a deconvolution of spots."""

import numpy as np
from scipy.special import rel_entr

from benchmarks.correlation import pearson_columns


class ProportionEvaluator:
    r"""Scores predicted proportions of cell types, in the manner of OGB: it names its metrics and its
    exact input.

    Args:
        classes (list[str]): The names of the :math:`T` cell types.
    """

    metrics = ("pearson", "rmse", "jensen_shannon")
    #: Those of which lower is better.
    lower = ("rmse", "jensen_shannon")
    expected_input = (
        "truth and prediction: float arrays [N, T] of the proportion of each cell type in each spot, "
        "none negative, each row with a sum of 1"
    )

    def __init__(self, classes: list[str]):
        self.classes = classes

    def eval(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        r"""Returns each metric: Pearson's correlation over spots, mean over the cell types whose share
        varies (a constant prediction counts as 0); the root of the mean squared error over all spots
        and types; the Jensen-Shannon divergence in bits (0 to 1), mean over spots."""
        self._check(truth, prediction)
        middle = (truth + prediction) / 2
        divergence = (rel_entr(truth, middle) + rel_entr(prediction, middle)).sum(axis=1) / 2
        correlation = pearson_columns(truth, prediction)
        known = correlation[~np.isnan(correlation)]
        return {
            "pearson": float(known.mean()) if known.size else 0.0,
            "rmse": float(np.sqrt(np.mean((truth - prediction) ** 2))),
            "jensen_shannon": float(np.mean(divergence) / np.log(2)),
        }

    def per_class(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        r"""Returns Pearson's correlation over spots of each cell type, NaN where its share is the same
        in all spots."""
        self._check(truth, prediction)
        found = pearson_columns(truth, prediction)
        return {name: float(value) for name, value in zip(self.classes, found, strict=True)}

    def _check(self, truth: np.ndarray, prediction: np.ndarray):
        if truth.shape != prediction.shape or truth.ndim != 2 or truth.size == 0:
            raise ValueError(
                f"Got shapes {truth.shape} and {prediction.shape}; expected {self.expected_input}"
            )
        if truth.shape[1] != len(self.classes):
            raise ValueError(f"Got {truth.shape[1]} columns for {len(self.classes)} cell types")
        for name, values in (("truth", truth), ("prediction", prediction)):
            wrong = ~(values >= 0).all(axis=1) | ~(np.abs(values.sum(axis=1) - 1) <= 1e-4)
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(
                    f"Row {row} of the {name} is {values[row].tolist()} with a sum of "
                    f"{values[row].sum():g}; expected {self.expected_input}"
                )
