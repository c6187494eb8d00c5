import pytest

from stofm_pyg.train.warmup_cosine import warmup_cosine


@pytest.mark.parametrize("num_steps", [20, 100, 1000])
def test_warmup_cosine(num_steps):
    warmup = num_steps // 10
    assert warmup_cosine(0, num_steps) == pytest.approx(1 / warmup)
    assert warmup_cosine(warmup // 2 - 1, num_steps) == pytest.approx(0.5)
    assert warmup_cosine(warmup - 1, num_steps) == 1.0
    assert warmup_cosine(warmup, num_steps) == 1.0
    assert warmup_cosine((num_steps + warmup) // 2, num_steps) == pytest.approx(0.5)
    third = warmup + (num_steps - warmup) // 3
    assert warmup_cosine(third, num_steps) == pytest.approx(0.75)
    assert warmup_cosine(num_steps, num_steps) == pytest.approx(0.0)


def test_warmup_cosine_of_few_steps():
    assert warmup_cosine(0, 1) == 1.0
    assert [warmup_cosine(step, 3) for step in range(3)] == pytest.approx([1.0, 1.0, 0.5])


@pytest.mark.parametrize("step", [21, 25, 40])
def test_the_rate_does_not_rise_again_behind_the_last_step(step):
    assert warmup_cosine(step, 20) == pytest.approx(0.0)
