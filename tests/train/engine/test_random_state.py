import torch

from stofm_pyg.train.engine.random_state import random_state, seeded, set_random_state

CPU = torch.device("cpu")


def draw(numbers):
    with seeded(CPU, numbers):
        return torch.rand(4).tolist()


def test_numbers_decide_and_nothing_is_left():
    torch.manual_seed(0)
    expected = torch.rand(3).tolist()
    torch.manual_seed(0)
    first = draw([1, 2, 3])
    assert torch.rand(3).tolist() == expected
    assert draw([1, 2, 3]) == first
    assert all(draw(other) != first for other in ([1, 2, 4], [1, 3, 2], [2, 2, 3]))


def test_no_numbers_leave_the_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(8).tolist()
    torch.manual_seed(0)
    assert draw(None) + draw(None) == expected


def test_state():
    state = random_state(CPU)
    first = torch.rand(3)
    set_random_state(state, CPU)
    assert torch.equal(torch.rand(3), first) and state["cuda_rng"] is None
