import numpy as np
import pytest

from benchmarks.mixing import ilisi


def test_slices_apart_and_slices_mixed():
    rng = np.random.default_rng(0)
    x, batch = rng.normal(size=(400, 3)), np.repeat([0, 1], 200)
    assert ilisi(x, batch).mean() == pytest.approx(1.9, abs=0.07)
    apart = x + 100 * batch[:, None]
    assert ilisi(apart, batch) == pytest.approx(np.ones(400))
    # Three slices, of which two are mixed.
    batch = np.repeat([0, 1, 2], [150, 150, 100])
    x[batch == 2] += 100
    found = ilisi(x, batch)
    assert found[batch == 2] == pytest.approx(np.ones(100)) and 1.8 < found[batch < 2].mean() < 2


def test_equal_shares_and_equal_distances():
    # Cells on a few places, as many of each slice on each: the share of both is a half but for the cell.
    x = np.repeat(np.eye(4) * 100, 40, axis=0)
    batch = np.tile([0, 1], 80)
    share = (19 / 39) ** 2 + (20 / 39) ** 2
    assert ilisi(x, batch) == pytest.approx(np.full(160, 1 / share), rel=0.02)


def test_a_weight_falls_with_distance():
    # On a line, the near ones are of the cell's own slice, the far ones of the other.
    x = np.arange(100.0)[:, None]
    batch = (np.arange(100) >= 50).astype(int)
    found = ilisi(x, batch)
    assert (
        found[0] == pytest.approx(1.0, abs=0.3) and found[49] > 1.9 and found[49] > found[30] > found[5]
    )
