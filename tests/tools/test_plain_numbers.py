import pytest
import torch

from tests.golden_case import CASES, GoldenCase
from tools.compare_run import expected_numbers, our_numbers
from tools.plain_numbers import plain_numbers


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_meets_the_official_code(name, seed):
    run = GoldenCase(name)
    plain = plain_numbers(run, seed)
    expected = expected_numbers(run)
    assert plain.keys() == expected.keys()
    for key, value in expected.items():
        assert plain[key].shape == value.shape
        assert (plain[key] - value).abs().max() <= 1e-5 * value.abs().max(), key


def test_another_order_rounds_in_another_way():
    run, threads = GoldenCase("se2_pre_ln"), torch.get_num_threads()
    first, again, other = (plain_numbers(run, seed) for seed in (0, 0, 1))
    name = "grad.model.gaussian.linear.weight"
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name])
    assert torch.get_num_threads() == threads


def test_our_layer_leaves_out_the_bias_at_distance_zero_for_such_a_run():
    run = GoldenCase("se2_post_ln")
    before = our_numbers(run, torch.float32)["out.pair_rep"]
    matrix = run.tensors["in.attn_bias"]
    for graph, i, j in ((0, 10, 12), (0, 2, 40), (1, 33, 7)):
        matrix[graph, i, j] = matrix[graph, j, i] = 0.0
    run._check_distances()
    ours, plain = our_numbers(run, torch.float32), plain_numbers(run, 0)
    assert (ours["out.pair_rep"] - before).abs().max() > 1e-2
    for name, value in plain.items():
        assert (ours[name] - value).abs().max() <= 2e-5 * value.abs().max(), name
