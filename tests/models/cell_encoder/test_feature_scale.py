import pytest
import torch

from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale


def make_embeddings(seed=0, count=500):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(4, 4, generator=torch.Generator().manual_seed(9))
    return 0.01 * torch.randn(count, 4, generator=generator) @ mix + 3


def test_features_are_principal_components_of_deviation_one():
    x = make_embeddings()
    scale = FeatureScale.fit([x], 3)
    assert torch.allclose(scale.mean, x.mean(dim=0), atol=1e-6)
    z = scale(x)
    assert z.shape == (500, 3) and scale.num_features == 3
    assert torch.allclose(z.mean(dim=0), torch.zeros(3), atol=1e-3)
    assert torch.allclose(z.t() @ z / 500, torch.eye(3), atol=2e-3)
    left, size, _ = torch.linalg.svd((x - x.mean(dim=0)).double(), full_matrices=False)
    assert torch.allclose(z.abs(), (left[:, :3] * 500**0.5).abs().float(), atol=2e-3)


def test_slices_may_lie_far_apart():
    x = make_embeddings()
    first, second = x[:100] - 0.5, x[100:] + 0.2
    scale = FeatureScale.fit([first, second])
    assert torch.allclose(scale.mean, torch.cat([first, second]).mean(dim=0), atol=1e-4)
    within = torch.cat([scale(part) - scale(part).mean(dim=0) for part in (first, second)])
    assert torch.allclose(within.t() @ within / 500, torch.eye(4), atol=2e-2)


def test_a_constant_channel_is_left_out():
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert FeatureScale.fit([x])(x).tolist() == [[-1.0], [1.0]]
    same = FeatureScale.fit([torch.ones(3, 2)])
    assert same.num_features == 1 and same(torch.ones(3, 2)).abs().max() == 0


def test_gradients_flow():
    x = make_embeddings().requires_grad_()
    scale = FeatureScale.fit([x.detach()], 2)
    scale(x).sum().backward()
    assert torch.allclose(x.grad[0], scale.weight.sum(dim=1))


def test_state_of_older_versions():
    state = {"mean": torch.tensor([1.0, 2.0]), "std": torch.tensor([2.0, 4.0])}
    scale = FeatureScale.from_state(state)
    assert scale(torch.tensor([[3.0, 6.0]])).tolist() == [[1.0, 1.0]]
    again = FeatureScale.from_state(scale.state_dict())
    assert torch.equal(again.weight, scale.weight)


@pytest.mark.parametrize(
    ("x", "words"),
    [(torch.ones(1, 2), "Two cells are needed"), (torch.full((3, 2), torch.nan), "not finite")],
)
def test_errors(x, words):
    with pytest.raises(ValueError, match=words):
        FeatureScale.fit([x])


def test_repr():
    assert (
        str(FeatureScale(8)) == "FeatureScale(8, 8)" and str(FeatureScale(8, 3)) == "FeatureScale(8, 3)"
    )
