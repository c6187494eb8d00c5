import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from benchmarks.methods.banksy import (
    Banksy,
    azimuthal_gradient,
    neighbour_weights,
    neighbourhood_mean,
    standardised,
)
from tests.benchmarks.peer_case import PeerData

CROSS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
NEAR = np.array([[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]])


def test_weights_fall_with_distance_and_sum_to_one():
    pos = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    weight = neighbour_weights(pos, np.array([[1, 2], [0, 2], [1, 0]]))
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    # The median distance of the first cell is two.
    np.testing.assert_allclose(weight[0, 0] / weight[0, 1], np.exp(-0.25) / np.exp(-2.25))


def test_the_mean_and_the_gradient_of_a_cross():
    x = np.array([[0.0, 5.0], [1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [4.0, 2.0]])
    np.testing.assert_allclose(neighbourhood_mean(x, CROSS, NEAR)[0], [2.5, 2.0])
    # (1 + 2i - 3 - 4i) / 4; where neighbours are alike there is no gradient.
    np.testing.assert_allclose(azimuthal_gradient(x, CROSS, NEAR)[0], [np.sqrt(8) / 4, 0], atol=1e-12)


def test_no_direction_matters_to_the_gradient():
    rng = np.random.default_rng(0)
    pos, x = rng.random((9, 2)), rng.random((9, 3))
    near = np.array([[j for j in range(9) if j != i][:5] for i in range(9)])
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    want = azimuthal_gradient(x, pos, near)
    np.testing.assert_allclose(azimuthal_gradient(x, 3 * pos @ turn + 5, near), want, atol=1e-12)


def test_lambda_is_the_share_of_the_neighbourhood():
    data = PeerData()
    x = Banksy(share=0.3, num_neighbors=5).features(data.parts[0], data.slices[0])
    assert x.shape == (30, 36)
    shares = [(x[:, 12 * i : 12 * i + 12] ** 2).sum() for i in range(3)]
    np.testing.assert_allclose(np.array(shares) / sum(shares), [0.7, 0.2, 0.1])
    np.testing.assert_allclose(x[:, :12], np.sqrt(0.7) * standardised(data.parts[0].toarray()))


def test_components_of_all_slices_or_all_but_one():
    data = PeerData()
    out = Banksy(num_components=4).embed(data)
    assert [x.shape for x in out] == [(30, 4), (20, 4)]
    # Each slice is standardised, hence centred.
    np.testing.assert_allclose(np.concatenate([x.mean(axis=0) for x in out]), 0, atol=1e-9)
    side = np.sign(out[0][:, 0]) == np.sign(data.kinds[0] - 0.5)
    assert max(side.mean(), 1 - side.mean()) > 0.8
    changed = PeerData()
    changed.parts[1] = changed.parts[1][::-1]
    for kept, other in zip(
        Banksy().embed(data, without=1)[:1], Banksy().embed(changed, without=1)[:1], strict=True
    ):
        np.testing.assert_array_equal(kept, other)


def test_a_slice_with_few_cells_and_a_share_out_of_bounds():
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    data = PeerData((3,))
    data.slices = [Data(pos=pos, node_type=torch.zeros(3))]
    (out,) = Banksy().embed(data)
    assert out.shape == (3, 3) and np.isfinite(out).all()
    with pytest.raises(ValueError, match=r"'share' must lie in \[0, 1\] \(got 1.5\)"):
        Banksy(share=1.5)
