import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from stofm_pyg._seeds import Draws, draws_for, mixed_seed, seeded_draw

NUMBERS = st.lists(st.integers(0, 2**63), min_size=1, max_size=4)


@given(NUMBERS)
def test_seeds_that_torch_takes(numbers):
    seed = mixed_seed(numbers)
    assert seed == mixed_seed(numbers) and 0 <= seed < 2**63
    torch.Generator().manual_seed(seed)


def test_seeds_that_differ_little_are_far_apart():
    seeds = [mixed_seed([seed, i, draw]) for seed in range(4) for i in range(20) for draw in range(4)]
    assert len(set(seeds)) == 320
    # Bits of neighbours differ by half of 63, give or take.
    bits = [(one ^ two).bit_count() for one, two in zip(seeds, seeds[1:], strict=False)]
    assert 29 < sum(bits) / len(bits) < 34


def test_the_order_of_numbers_counts():
    assert mixed_seed([1, 2]) != mixed_seed([2, 1])


@given(NUMBERS)
def test_draws_follow_from_the_numbers_alone(numbers):
    drawn = []
    for _ in range(2):
        torch.rand(3)
        with seeded_draw(*numbers):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)


def test_torchs_generator_is_as_it_was():
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded_draw(1, 2):
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), state)
    with seeded_draw(1):
        outer = torch.rand(1)
        with seeded_draw(2):
            torch.rand(1)
        after = torch.rand(1)
    with seeded_draw(1):
        assert torch.equal(torch.cat([outer, after]), torch.rand(2))


def test_generator_of_a_seed():
    assert Draws().generator() is None
    generator = Draws(5).generator()
    assert generator.initial_seed() == 5
    assert torch.equal(torch.rand(2, generator=generator), torch.rand(2, generator=Draws(5).generator()))


def test_draws_follow_from_what_is_drawn_for():
    def draw(draws, *numbers):
        with draws_for(*numbers):
            return torch.rand((), generator=draws.generator()).item()

    one, other = Draws(-3), Draws(4)
    first = [draw(one, i, j) for i in range(3) for j in range(3)]
    assert len(set(first)) == 9
    assert [draw(one, i, j) for i in range(3) for j in range(3)] == first  # Whatever it drew before.
    assert [draw(Draws(-3), i, j) for i in range(3) for j in range(3)] == first
    assert draw(other, 0, 0) != first[0]
    with draws_for(0, 0):  # Two draws for one thing are two.
        twice = [torch.rand((), generator=one.generator()).item() for _ in range(2)]
        draw(one, 1, 1)
    assert twice[0] == first[0] != twice[1]
    with seeded_draw(0, 0):
        assert torch.rand((), generator=one.generator()).item() == first[0]
    assert draw(pickle.loads(pickle.dumps(one)), 2, 2) == first[8]


class Drawn:
    def __init__(self, seed):
        self.draws = Draws(seed)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.rand((), generator=self.draws.generator())


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_draw_anew_at_every_pass(persistent):
    def passes():
        torch.manual_seed(0)
        loader = DataLoader(Drawn(7), 2, num_workers=2, persistent_workers=persistent)
        return [torch.cat(list(loader)).tolist() for _ in range(3)]

    drawn = passes()
    assert len({value for one in drawn for value in one}) == 18
    assert passes() == drawn
