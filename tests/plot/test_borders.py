import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stofm_pyg.plot.borders import apart_colors, part_borders

GRID = np.stack(np.divmod(np.arange(36), 6), axis=1).astype(float)


def test_borders_lie_between_the_parts():
    part = (GRID[:, 0] > 2).astype(int)
    lines, pairs = part_borders(GRID, part)
    np.testing.assert_allclose(lines[:, :, 0], 2.5)  # Upright, halfway between the columns.
    assert np.linalg.norm(lines[:, 0] - lines[:, 1], axis=1).sum() >= 4
    assert {tuple(sorted(part[pair])) for pair in pairs} == {(0, 1)}


def test_no_border_is_far_from_its_cells():
    rng = np.random.default_rng(0)
    pos = rng.random((200, 2))
    lines, pairs = part_borders(pos, (pos[:, 0] > 0.5).astype(int))
    middle = pos[pairs].mean(axis=1, keepdims=True)
    apart = np.linalg.norm(pos[pairs[:, 0]] - pos[pairs[:, 1]], axis=1)
    away = np.linalg.norm(lines - middle, axis=2)
    assert len(lines) > 5 and (away <= apart[:, None] + 1e-9).all()
    assert (lines >= pos.min(axis=0)).all() and (lines <= pos.max(axis=0)).all()


def test_no_border():
    for pos, part in (
        (GRID, np.zeros(36, dtype=int)),
        (GRID[:3], np.arange(3)),
        (np.stack([np.arange(9.0), np.zeros(9)], axis=1), np.arange(9) // 3),
    ):
        lines, pairs = part_borders(pos, part)
        assert lines.shape == (0, 2, 2) and len(pairs) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25))
def test_parts_that_touch_have_different_numbers(pairs):
    pairs = np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=int).reshape(-1, 2)
    number = apart_colors(pairs, 10)
    assert (number >= 0).all() and (number[pairs[:, 0]] != number[pairs[:, 1]]).all()
    most = np.bincount(pairs.ravel(), minlength=10).max()
    assert number.max() <= most
