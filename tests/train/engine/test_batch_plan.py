from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.train import BatchPlan

SIZES = st.lists(st.integers(1, 2000), min_size=1, max_size=60)


@given(SIZES, st.integers(1, 20), st.integers(1, 5), st.integers(0, 3), st.integers(1, 4))
def test_every_subpatch_counts_once_a_pass(sizes, batch_size, number, draw, size):
    plans = [BatchPlan(torch.tensor(sizes), batch_size, number, rank, seed=5) for rank in range(number)]
    seen = Counter()
    for step in range(draw * len(plans[0]), (draw + 1) * len(plans[0])):
        dealt = [plan.micro_batches(step, size) for plan in plans]
        assert len({len(parts) for parts in dealt}) == 1
        for parts in dealt:
            for indices, pass_, counted in parts:
                assert pass_ == draw and 1 <= len(indices) <= size
                if counted:
                    seen.update(indices)
    assert seen == Counter(range(len(sizes)))


@given(SIZES, st.integers(1, 20), st.integers(2, 5), st.integers(1, 4))
def test_any_number_of_processes_has_the_same_steps(sizes, batch_size, number, size):
    one = BatchPlan(sizes, batch_size, seed=2)
    plans = [BatchPlan(sizes, batch_size, number, rank, seed=2) for rank in range(number)]
    for step in range(2 * len(one)):
        dealt = [plan.micro_batches(step, size) for plan in plans]
        together = [part for row in zip(*dealt, strict=True) for part in row]
        expected = one.micro_batches(step, size)
        assert together[: len(expected)] == expected
        smallest = min((sizes[i], -step) for indices, *_ in expected for i in indices)[0]
        for indices, _, counted in together[len(expected) :]:
            assert not counted and [sizes[i] for i in indices] == [smallest]
        assert len(together) - len(expected) < number


def test_like_sizes_at_the_same_time():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(100, 1000, (64,), generator=generator)
    plans = [BatchPlan(sizes, 16, 4, rank) for rank in range(4)]
    for step in range(len(plans[0])):
        together = list(zip(*[plan.step(step) for plan in plans], strict=True))
        assert len(together) == 4
        rows = [[int(sizes[index]) for index, *_ in row] for row in together]
        # The largest first; none of a micro-step is larger than any of the one before.
        assert all(min(a) >= max(b) for a, b in zip(rows, rows[1:], strict=False))


def test_the_steps_of_a_pass():
    plan = BatchPlan([7, 9, 8, 3, 5], 2, seed=1)
    assert len(plan) == 3
    assert [len(plan.step(step)) for step in range(4)] == [2, 2, 1, 2]
    assert all(draw == 0 and counted for step in range(3) for _, draw, counted in plan.step(step))
    assert all(draw == 1 for _, draw, _ in plan.step(3))
    # A fourth process of a last step with one subpatch repeats it.
    last = [BatchPlan([7, 9, 8, 3, 5], 2, 4, rank, seed=1).step(2) for rank in range(4)]
    index = plan.step(2)[0][0]
    assert last == [[(index, 0, True)], *[[(index, 0, False)]] * 3]


def test_passes_differ_and_follow_from_seed_and_pass_alone():
    def order(plan, draw):
        steps = range(draw * len(plan), (draw + 1) * len(plan))
        return [index for step in steps for index, *_ in plan.step(step)]

    sizes = torch.ones(50)
    plan = BatchPlan(sizes, 7, seed=3)
    first, second = order(plan, 0), order(plan, 1)
    assert first != second and sorted(second) == list(range(50))
    fresh = BatchPlan(sizes, 7, seed=3)
    assert order(fresh, 1) == second and order(fresh, 0) == first
    assert order(BatchPlan(sizes, 7, seed=4), 0) != first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1), r"at least one subpatch \(got shape \(0,\)\)"),
        (([1, 2], 0), r"'batch_size' must be at least 1 and 'seed' at least 0 \(got 0 and 0\)"),
        (([1, 2], 1, 1, 0, -1), r"\(got 1 and -1\)"),
        (([1, 2], 1, 2, 2), r"'rank' must lie between 0 and 'num_processes' - 1 \(got 2 of 2\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchPlan(*arguments)


def test_repr():
    expected = "BatchPlan(3, batch_size=2, num_processes=4, rank=1, seed=5)"
    assert repr(BatchPlan([1, 2, 3], 2, 4, 1, 5)) == expected
