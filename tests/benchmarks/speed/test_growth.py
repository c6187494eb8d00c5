import pytest

from benchmarks.speed.growth import growth_exponent


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_power_laws(exponent):
    cells = [10, 300, 5000]
    assert growth_exponent(cells, [3.0 * n**exponent for n in cells]) == pytest.approx(exponent)


def test_least_squares():
    # Logarithms 0, 1, 2 of cells and 0, 2, 2 of seconds: the slope is 1.
    assert growth_exponent([1, 10, 100], [1, 100, 100]) == pytest.approx(1.0)


def test_one_size_has_none():
    with pytest.raises(ValueError, match=r"at least two different sizes \(got \[5, 5\]\)"):
        growth_exponent([5, 5], [1.0, 2.0])
