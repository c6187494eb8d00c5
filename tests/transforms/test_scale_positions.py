import pytest
import torch

from stofm_pyg.transforms import ScalePositions, SpatialRadiusGraph


def test_all_distances_change_by_one_factor(make_slice, unchanged):
    data = SpatialRadiusGraph(2.0)(make_slice(50))
    out = unchanged(ScalePositions(0.1, seed=0), data)
    factor = (out.pos / data.pos)[0, 0]
    assert 0.9 <= float(factor) <= 1.1 and float(factor) != 1.0
    assert torch.allclose(out.pos, data.pos * factor)
    assert torch.allclose(out.edge_attr, data.edge_attr * factor.float())
    source, target = out.edge_index
    distance = (out.pos[source] - out.pos[target]).norm(dim=1)
    assert torch.allclose(out.edge_attr.view(-1).double(), distance, atol=1e-5)


def test_factors_fill_their_range(make_slice):
    data, transform = make_slice(3), ScalePositions(0.5, seed=0)
    factors = torch.stack([(transform(data).pos / data.pos)[0, 0] for _ in range(500)])
    assert 0.5 <= float(factors.min()) < 0.52 and 1.48 < float(factors.max()) <= 1.5
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.06)


def test_torchs_seed_is_enough(make_slice):
    data, transform = make_slice(3), ScalePositions(0.5)
    out = []
    for _ in range(2):
        torch.manual_seed(3)
        out.append(transform(data).pos)
    assert torch.equal(*out)


def test_no_scale(make_slice):
    data = make_slice(5)
    assert torch.equal(ScalePositions(0.0)(data).pos, data.pos)


@pytest.mark.parametrize("scale", [-0.1, 1.0])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match=r"'scale' must lie in \[0, 1\)"):
        ScalePositions(scale)


def test_repr():
    assert str(ScalePositions(0.1)) == "ScalePositions(scale=0.1)"
