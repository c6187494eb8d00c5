import pytest

from benchmarks.paired import paired_difference, told


def run(method, seed, **slices):
    return {"method": method, "seed": seed, "slices": {k: {"macro_f1": v} for k, v in slices.items()}}


def test_pairs_are_of_the_same_seed_and_slice():
    runs = [run("a", 0, x=0.9, y=0.8), run("a", 1, x=0.7, y=0.6)]
    runs += [run("b", 0, x=0.8, y=0.7), run("b", 1, x=0.6, y=0.5)]
    found = paired_difference(runs, "a", "b")
    assert found["mean"] == pytest.approx(0.1) and found["pairs"] == 4
    assert found["low"] == pytest.approx(0.1) and found["high"] == pytest.approx(0.1)
    assert told(found) == "+0.100 (+0.100 to +0.100)"


def test_a_row_without_seeds_is_compared_with_all():
    runs = [run("a", seed, x=0.5 + seed / 10) for seed in range(3)] + [run("b", 0, x=0.5)]
    found = paired_difference(runs, "a", "b")
    assert found["pairs"] == 3 and found["mean"] == pytest.approx(0.1)
    assert 0 <= found["low"] < 0.1 < found["high"] <= 0.2
    assert paired_difference(runs, "a", "b") == found


def test_nothing_to_compare_with():
    assert paired_difference([run("a", 0, x=0.5)], "a", "b") is None
    assert told(None) == ""
