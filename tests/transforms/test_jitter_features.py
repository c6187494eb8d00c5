import math

import pytest
import torch

from stofm_pyg.transforms import JitterFeatures, MaskCells


def test_noise(make_slice, unchanged):
    data = make_slice(2000)
    out = unchanged(JitterFeatures(0.3, seed=0), data)
    noise = out.x - data.x
    assert out.x.dtype == torch.float32
    # 8,000 values: standard errors are 0.0034 and 0.0024.
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.015)
    assert float(noise.std()) == pytest.approx(0.3, abs=0.012)
    assert float((noise.abs() < 0.3).float().mean()) == pytest.approx(0.683, abs=0.03)
    assert torch.equal(out.pos, data.pos)


def test_no_noise(make_slice):
    data = make_slice(20)
    assert torch.equal(JitterFeatures(0.0)(data).x, data.x)


def test_seeds(make_slice):
    data = make_slice(20)
    first, second, other = (JitterFeatures(1.0, seed=seed) for seed in (3, 3, 4))
    one, two = first(data).x, first(data).x
    assert torch.equal(second(data).x, one) and torch.equal(second(data).x, two)
    assert not torch.equal(one, two) and not torch.equal(other(data).x, one)


def test_a_seed_leaves_the_global_generator_alone(make_slice):
    state = torch.get_rng_state()
    JitterFeatures(1.0, seed=0)(make_slice(20))
    assert torch.equal(torch.get_rng_state(), state)


def test_targets_stay_free_of_it(make_slice):
    data = make_slice(100)
    out = JitterFeatures(1.0, seed=0)(MaskCells(seed=0)(data))
    assert torch.equal(out.target, data.x[out.mask])


@pytest.mark.parametrize("std", [-0.1, math.inf, math.nan])
def test_bad_std(std):
    with pytest.raises(ValueError, match=rf"'std' must be finite and not negative \(got {std}\)"):
        JitterFeatures(std)


def test_repr():
    assert str(JitterFeatures(0.5)) == "JitterFeatures(std=0.5)"
