import pytest
import torch
from torch_geometric.data import Data

from benchmarks.methods.spatial_signal import scale_by_spatial_signal, spatial_signal
from stofm_pyg.transforms import SpatialRadiusGraph


def make_slice(x, pos):
    node_type = torch.zeros(len(x), dtype=torch.uint8)
    data = Data(x=torch.tensor(x), pos=torch.tensor(pos), node_type=node_type)
    return SpatialRadiusGraph(3.0)(data)


def test_autocorrelation_of_a_hand_computed_case():
    # Neighbours within 2.5: 0 - 1 and 2 - 3, a distance of 5 apart.
    pos = [[0.0, 0.0], [1.0, 0.0], [6.0, 0.0], [7.0, 0.0]]
    x = [[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]
    assert spatial_signal([make_slice(x, pos)]).tolist() == [1.0, 0.0, 0.0]


def test_features_are_scaled_by_what_neighbours_share():
    generator = torch.Generator().manual_seed(0)
    pos = torch.rand(500, 2, generator=generator) * 25
    smooth = torch.sin(pos[:, 0] / 4) * 100
    noise = torch.randn(500, generator=generator)
    mixed = torch.sin(pos[:, 1] / 4) + 0.7 * torch.randn(500, generator=generator)
    x = torch.stack([smooth, noise, mixed], dim=1)
    x = x - x.mean(dim=0)
    data = make_slice(x.tolist(), pos.tolist())
    signal = spatial_signal([data])
    assert signal[0] > 0.8 > signal[2] > 0.2 > signal[1]
    scaled = scale_by_spatial_signal([data])[0].x
    assert float(scaled.square().mean().sqrt()) == pytest.approx(1.0, rel=1e-3)
    ratio = scaled.std(dim=0) / scaled.std(dim=0)[0]
    torch.testing.assert_close(ratio, (signal / signal[0]).sqrt())
    assert torch.equal(data.x, x)


def test_without_any_signal_or_edge_all_features_count_alike():
    x = [[3.0, 1.0], [-3.0, -1.0]]
    scaled = scale_by_spatial_signal([make_slice(x, [[0.0, 0.0], [9.0, 0.0]])])[0].x
    assert scaled[:, 0].tolist() == pytest.approx(scaled[:, 1].tolist())
