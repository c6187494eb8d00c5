import numpy as np
import pytest
from scipy import sparse

from stofm_pyg.models.tissue_signal import (
    degrees,
    genes_per_cell,
    library_sizes,
    moran,
    ring_prediction,
    share_between,
    share_of_zeros,
    slice_components,
    spacing,
    spatial_features,
)


def grid(side=30):
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 3.0


def centred(x):
    return x - x.mean(axis=0)


def test_moran_of_a_wave_and_of_noise():
    pos, rng = grid(), np.random.default_rng(0)
    wave = np.sin(2 * np.pi * pos[:, 0] / 90)
    noise = rng.normal(size=len(pos))
    board = np.cos(np.pi * pos / 3).prod(axis=1)  # Neighbours are opposites: below zero.
    x = centred(np.stack([noise, board, wave], axis=1))
    value = moran([x], [pos])
    assert 0.9 < value[0] < 1.1
    assert np.abs(value[1:]).max() < 0.05
    np.testing.assert_allclose(moran([x, x], [pos, 10 * pos + 5]), value, atol=1e-12)


def test_spatial_features_keep_what_is_shared():
    pos, rng = grid(), np.random.default_rng(0)
    x = centred(np.stack([np.sin(pos[:, 0] / 15), rng.normal(size=len(pos))], axis=1))
    (scaled,) = spatial_features([x], [pos])
    assert scaled[:, 1].var() < 0.1 * scaled[:, 0].var()


@pytest.mark.parametrize("num_slices", [1, 2])
def test_ring_prediction(num_slices):
    pos, rng = grid(), np.random.default_rng(0)
    positions = [pos] * num_slices
    smooth = [centred(np.sin(pos / 15 + i)) for i in range(num_slices)]
    noise = [centred(rng.normal(size=(len(pos), 2))) for _ in positions]
    assert ring_prediction(smooth, positions) > 0.85
    assert abs(ring_prediction(noise, positions)) < 0.03
    mixed = [a / a.std() + b for a, b in zip(smooth, noise, strict=True)]
    assert 0.3 < ring_prediction(mixed, positions) < 0.55


def test_ring_prediction_does_not_learn_the_test_slice():
    """What rings mean is the opposite on the other slice."""
    pos, rng = grid(), np.random.default_rng(0)
    wave = np.sin(pos[:, 0] / 15)
    own = [np.stack([wave, sign * wave], axis=1) for sign in (1, -1)]
    features = [centred(x + 0.1 * rng.normal(size=x.shape)) for x in own]
    assert ring_prediction(features, [pos, pos]) < 0.05
    assert ring_prediction([features[0], features[0]], [pos, pos]) > 0.85


def test_ring_prediction_needs_cells():
    pos = grid(4)
    assert np.isnan(ring_prediction([centred(pos)], [pos]))


def test_share_between_classes():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], 500)
    shift = np.where(classes == 0, -1.0, 1.0)[:, None]
    assert share_between([shift], [classes]) == 1
    noise = rng.normal(size=(1000, 4))
    assert share_between([noise], [classes]) < 0.01
    assert abs(share_between([shift + noise], [classes]) - 0.5) < 0.03
    known = np.where(rng.random(1000) < 0.5, classes, -1)
    assert share_between([shift[:600], shift[600:]], [known[:600], known[600:]]) == pytest.approx(1)
    assert np.isnan(share_between([noise], [np.full(1000, -1)]))
    assert share_between([np.zeros((4, 1))], [np.array([0, 0, 1, 1])]) == 0


def test_counts_by_hand():
    counts = sparse.csr_matrix(np.array([[3, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 2]], dtype=np.float32))
    assert library_sizes(counts).tolist() == [4, 0, 5]
    assert genes_per_cell(counts).tolist() == [2, 0, 4]
    assert share_of_zeros(counts) == 0.5
    stored = counts.copy()
    stored.data[0] = 0  # A zero that is stored is a zero.
    assert share_of_zeros(stored) == pytest.approx(7 / 12)


def test_graph_by_hand():
    pos = np.array([[0, 0], [2, 0], [4, 0], [6, 0], [100, 0]], dtype=float)
    assert spacing(pos) == 2
    assert degrees(pos, 1.0).tolist() == [1, 2, 2, 1, 0]
    assert degrees(pos, 2.0).tolist() == [2, 3, 3, 2, 0]


def test_components_are_centred_in_each_slice():
    rng = np.random.default_rng(0)
    counts = [sparse.csr_matrix(rng.poisson(mean, (60, 12)).astype(np.float32)) for mean in (1, 5)]
    for x in slice_components(counts, 5):
        assert x.shape == (60, 5)
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-10)
