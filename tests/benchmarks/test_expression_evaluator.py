import numpy as np
import pytest

from benchmarks.expression_evaluator import ExpressionEvaluator


def test_metrics_are_means_and_medians_over_genes():
    x = np.arange(4.0)
    truth = np.stack([x, x, x, x, np.ones(4)], axis=1)  # The last gene does not vary.
    prediction = np.stack([x, -x, x**3, np.zeros(4), x], axis=1)
    cubed = np.corrcoef(x, x**3)[0, 1]
    evaluator = ExpressionEvaluator(["a", "b", "c", "d", "e"])
    scores = evaluator.eval(truth, prediction)
    assert tuple(scores) == ExpressionEvaluator.metrics
    assert scores["pearson"] == pytest.approx((1 - 1 + cubed + 0) / 4)
    assert scores["pearson_median"] == pytest.approx(cubed / 2)
    assert scores["spearman"] == pytest.approx((1 - 1 + 1 + 0) / 4)
    assert scores["spearman_median"] == pytest.approx(0.5)
    of_gene = evaluator.per_class(truth, prediction)
    assert [of_gene[name] for name in "abcd"] == pytest.approx([1, -1, cubed, 0])
    assert np.isnan(of_gene["e"])


def test_input_that_is_not_as_expected_is_refused():
    evaluator = ExpressionEvaluator(["a", "b"])
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 2\)"):
        evaluator.eval(np.eye(3)[:, :2], np.eye(2))
    with pytest.raises(ValueError, match="3 columns for 2 genes"):
        evaluator.eval(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match="at least two cells"):
        evaluator.eval(np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="prediction of gene 'b' is nan in row 1"):
        evaluator.eval(np.eye(2), np.array([[1.0, 0.0], [0.0, np.nan]]))
    with pytest.raises(ValueError, match="None of the 2 genes varies between the 3 cells"):
        evaluator.eval(np.ones((3, 2)), np.eye(3)[:, :2])
