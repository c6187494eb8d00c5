import torch

from tests.golden_case import GoldenCase
from tools.compare_run import compare, expected_numbers, explain, our_numbers

ONE, ZERO = torch.ones(2), torch.zeros(2)


def test_a_gradient_of_zero_is_only_rounding():
    ours, official = torch.tensor([2e-11, -1e-11]), torch.tensor([1e-11, 1e-11])
    note = explain(ours, official, ZERO.double(), [ZERO], largest=5.0)
    assert note == "rounding: the exact value is 0, the official one 1e-11"
    # Beside smaller gradients these are numbers, and a zero that we get wrong is a mistake.
    assert explain(ours, official, ZERO.double(), [ZERO], largest=1e-5) == ""
    assert explain(ONE * 1e-3, official, ZERO.double(), [ZERO], largest=5.0) == ""


def test_rounding_is_what_plain_evaluations_have_too():
    exact, plain = ONE.double(), [ONE + 4e-6, ONE + 1e-5]
    note = explain(ONE, ONE - 4e-5, exact, plain, largest=1.0)
    assert note == "rounding: the official one is 4.0e-05 off from double precision"
    assert explain(ONE + 4e-5, ONE - 4e-5, exact, plain, largest=1.0) != ""
    # Ours alone is off; the official one is off by more than rounding; so are both, each in its way.
    assert explain(ONE + 4e-5, ONE - 1e-6, exact, plain, largest=1.0) == ""
    assert explain(ONE, ONE - 4e-4, exact, plain, largest=1.0) == ""
    assert explain(ONE + 4e-4, ONE - 4e-4, exact, plain, largest=1.0) == ""
    # Nothing is rounded away where plain evaluations are exact.
    assert explain(ONE, ONE - 4e-5, exact, [ONE], largest=1.0) == ""


def test_only_what_loses_digits_is_excused():
    run = GoldenCase("se2_pre_ln")
    # The first is one long sum, of which single precision keeps five digits; the other keeps seven.
    lost, kept = "grad.model.gaussian.linear.bias", "grad.model.encoder.layers.1.fc1.weight"
    for name in (lost, kept):
        run.tensors[name] = run.tensors[name] * (1 + 2e-5)
    rows = {row.name: row for row in compare(run)}
    assert rows[lost].error > 1e-5 and not rows[lost].failed
    assert rows[lost].note.startswith("rounding: the official one is ")
    assert rows[kept].failed and rows[kept].note == ""
    assert all(row.error <= 1e-5 for name, row in rows.items() if name not in (lost, kept))


def test_double_precision_meets_the_run():
    run = GoldenCase("se2_post_ln")
    ours = our_numbers(run, torch.float64)
    for name, value in expected_numbers(run).items():
        assert ours[name].dtype == torch.float64 and ours[name].shape == value.shape
        assert (ours[name] - value).abs().max() <= 1e-5 * value.abs().max(), name
