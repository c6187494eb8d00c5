import pytest
import torch

from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale


def test_scaled_features_have_mean_zero_and_deviation_one():
    x = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * 0.01 + 3
    scale = FeatureScale.fit([x])
    assert torch.allclose(scale.mean, x.mean(dim=0), atol=1e-6)
    assert torch.allclose(scale.std, x.std(dim=0, correction=0), rtol=1e-4)
    assert torch.allclose(scale(x).mean(dim=0), torch.zeros(4), atol=1e-3)
    assert torch.allclose(scale(x).std(dim=0, correction=0), torch.ones(4), atol=1e-3)


def test_slices_may_lie_far_apart():
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    first, second = x[:100] - 50, x[100:] + 20
    scale = FeatureScale.fit([first, second])
    assert torch.allclose(scale.mean, torch.cat([first, second]).mean(dim=0), atol=1e-4)
    within = (99 * first.var(dim=0) + 199 * second.var(dim=0)) / 300
    assert torch.allclose(scale.std, within.sqrt(), rtol=1e-4)


def test_a_constant_channel_stays_small():
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert FeatureScale.fit([x])(x).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("x", "words"),
    [(torch.ones(1, 2), "Two cells are needed"), (torch.full((3, 2), torch.nan), "not finite")],
)
def test_errors(x, words):
    with pytest.raises(ValueError, match=words):
        FeatureScale.fit([x])


def test_repr():
    assert str(FeatureScale(8)) == "FeatureScale(8)"
