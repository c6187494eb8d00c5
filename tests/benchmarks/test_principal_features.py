import numpy as np
import torch
from sklearn.decomposition import PCA
from torch_geometric.data import Data

from benchmarks.principal_features import principal_features
from stofm_pyg.nn import NodeType


def make_slices():
    """Two slices of 30 and 20 cells of six features, each shifted, with the mean of all cells and of
    the first ten as virtual cells."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for num_cells, shift in ((30, 5.0), (20, -3.0)):
        x = torch.randn(num_cells, 6, generator=generator) * torch.arange(6, 0, -1) + shift
        x = torch.cat([x, x.mean(dim=0, keepdim=True), x[:10].mean(dim=0, keepdim=True)])
        kind = [NodeType.CELL] * num_cells + [NodeType.VIRTUAL] * 2
        out.append(Data(x=x, node_type=torch.tensor(kind, dtype=torch.uint8)))
    return out


def cells(data):
    return data.x[data.node_type == NodeType.CELL].numpy()


def test_equals_the_pca_of_cells_centred_in_each_slice():
    slices = make_slices()
    out = principal_features(slices, 3)
    centred = np.concatenate([cells(data) - cells(data).mean(axis=0) for data in slices])
    want = PCA(3).fit_transform(centred.astype(np.float64))
    got = np.concatenate([cells(data) for data in out])
    np.testing.assert_allclose(np.abs(got), np.abs(want), atol=1e-4)
    for data in out:
        assert data.x.dtype == torch.float32
        np.testing.assert_allclose(cells(data).mean(axis=0), 0, atol=1e-5)
    assert np.all(np.diff(got.var(axis=0)) < 0)


def test_a_virtual_cell_stays_the_mean_of_its_cells():
    for data in principal_features(make_slices(), 4):
        torch.testing.assert_close(data.x[-2], torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(data.x[-1], data.x[:10].mean(dim=0), atol=1e-5, rtol=0)


def test_no_more_components_than_features_and_distances_are_kept():
    slices = make_slices()
    before = [data.x.clone() for data in slices]
    out = principal_features(slices, 50)
    assert [data.x.shape for data in out] == [(32, 6), (22, 6)]
    for data, x in zip(out, before, strict=True):
        got, want = (torch.cdist(v.double(), v.double()) for v in (data.x, x))
        torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    assert all(torch.equal(data.x, x) for data, x in zip(slices, before, strict=True))


def test_signs_do_not_depend_on_the_solver():
    flipped = make_slices()
    for data in flipped:
        data.x = -data.x
    one, other = principal_features(make_slices(), 6), principal_features(flipped, 6)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.x, -b.x, atol=1e-4, rtol=0)
