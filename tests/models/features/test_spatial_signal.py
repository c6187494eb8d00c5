import numpy as np
import pytest
import torch

from stofm_pyg.models.features import SpatialSignal


def test_autocorrelation_of_a_hand_computed_case():
    # Neighbours within 2.5 spacings: 0 - 1 and 2 - 3, a distance of 5 apart.
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0], [6.0, 0.0], [7.0, 0.0]])
    x = torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    signal = SpatialSignal([(x, 10 * pos)])
    assert signal.moran.tolist() == [1.0, 0.0, 0.0]
    # The second varies and is not shared, the third does not vary.
    assert signal.factor().tolist() == pytest.approx([(3 * 3 / 4) ** 0.5, 0.0, 0.0])


def test_features_are_scaled_by_what_neighbours_share():
    generator = torch.Generator().manual_seed(0)
    pos = torch.rand(500, 2, generator=generator) * 25
    smooth = torch.sin(pos[:, 0] / 4) * 100
    noise = torch.randn(500, generator=generator)
    mixed = torch.sin(pos[:, 1] / 4) + 0.7 * torch.randn(500, generator=generator)
    x = torch.stack([smooth, noise, mixed], dim=1)
    x = x - x.mean(dim=0)
    signal = SpatialSignal([(x, pos)])
    moran = signal.moran
    assert moran[0] > 0.8 > moran[2] > 0.2 > moran[1]
    scaled = x.double() * torch.from_numpy(signal.factor())
    assert float(scaled.square().mean()) == pytest.approx(1.0, rel=1e-2)
    ratio = scaled.std(dim=0) / scaled.std(dim=0)[0]
    torch.testing.assert_close(ratio, (moran / moran[0]).sqrt())


def test_slices_count_by_their_cells():
    generator = torch.Generator().manual_seed(0)
    parts = []
    for size in (60, 200):
        pos = torch.rand(size, 2, generator=generator)
        x = pos - pos.mean(dim=0)
        parts.append((x, pos))
    one, other, both = SpatialSignal(parts[:1]), SpatialSignal(parts[1:]), SpatialSignal(iter(parts))
    assert float(both.moran.min()) > 0.3
    low, high = (torch.stack([one.moran, other.moran]).aminmax(dim=0))
    assert bool(((low <= both.moran + 0.05) & (both.moran <= high + 0.05)).all())


def test_without_any_signal_or_edge_all_features_count_alike():
    x = torch.tensor([[3.0, 1.0], [-3.0, -1.0]])
    far = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
    scaled = x.numpy() * SpatialSignal([(x, far), (-x, far)]).factor()
    np.testing.assert_allclose(np.abs(scaled[:, 0]), np.abs(scaled[:, 1]))
    alternating = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    line = torch.arange(4.0)[:, None] * torch.tensor([3.0, 0.0])
    assert SpatialSignal([(alternating, line)]).factor().tolist() == pytest.approx([0.75**0.5])


def test_a_cell_alone():
    with pytest.raises(ValueError, match=r"by two cells or more \(got 0\)"):
        SpatialSignal([])
