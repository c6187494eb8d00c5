r"""The metrics of predicted expression."""

import numpy as np

from benchmarks.correlation import pearson_columns, spearman_columns


class ExpressionEvaluator:
    r"""Scores the predicted expression of genes, in the manner of OGB: it names its metrics and its
    exact input.

    Args:
        genes (list[str]): The names of the :math:`G` genes.
    """

    metrics = ("pearson", "pearson_median", "spearman", "spearman_median")
    #: Those of which lower is better.
    lower = ()
    expected_input = (
        "truth and prediction: finite float arrays [N, G] of the log-normalised expression of each "
        "gene in each cell, of at least two cells"
    )

    def __init__(self, genes: list[str]):
        self.genes = genes

    def eval(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        r"""Returns each metric: Pearson's and Spearman's correlation over cells, mean and median over
        the genes whose expression varies; a constant prediction counts as 0.

        Raises:
            ValueError: The input is not as expected, or no gene varies.
        """
        out = {}
        for name, values in self._correlations(truth, prediction).items():
            known = values[~np.isnan(values)]
            if known.size == 0:
                raise ValueError(
                    f"None of the {len(self.genes)} genes varies between the {len(truth)} cells, so "
                    f"that there is nothing to predict; score more cells, or other genes"
                )
            out |= {name: float(known.mean()), f"{name}_median": float(np.median(known))}
        return out

    def per_class(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        r"""Returns Pearson's correlation over cells of each gene, NaN where it does not vary."""
        found = self._correlations(truth, prediction)["pearson"]
        return {name: float(value) for name, value in zip(self.genes, found, strict=True)}

    def _correlations(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, np.ndarray]:
        if truth.shape != prediction.shape or truth.ndim != 2 or len(truth) < 2 or truth.size == 0:
            raise ValueError(
                f"Got shapes {truth.shape} and {prediction.shape}; expected {self.expected_input}"
            )
        if truth.shape[1] != len(self.genes):
            raise ValueError(f"Got {truth.shape[1]} columns for {len(self.genes)} genes")
        for name, values in (("truth", truth), ("prediction", prediction)):
            if not np.isfinite(values).all():
                row, column = np.argwhere(~np.isfinite(values))[0]
                raise ValueError(
                    f"The {name} of gene {self.genes[column]!r} is {values[row, column]} in row {row}; "
                    f"expected {self.expected_input}"
                )
        return {
            "pearson": pearson_columns(truth, prediction),
            "spearman": spearman_columns(truth, prediction),
        }
