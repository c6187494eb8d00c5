import pytest
import torch

from stofm_pyg.nn import SliceEncoder, start_local


def make_encoder(heads=4, num_gaussians=16, conv="SE2TransformerConv", radius=8.0):
    torch.manual_seed(0)
    return SliceEncoder(
        5, 8, 2, conv, heads=heads, num_gaussians=num_gaussians, max_distance=radius
    )


@pytest.mark.parametrize(("num_gaussians", "error"), [(16, 0.25), (128, 0.1)])
@pytest.mark.parametrize("radius", [8.0, 50.0])
def test_bias_falls_with_distance(num_gaussians, error, radius):
    encoder = make_encoder(4, num_gaussians, radius=radius)
    start_local(encoder, radius)
    conv = encoder.blocks[0].conv
    share = torch.tensor([0.1, 0.25, 0.5, 0.75, 1.0])
    with torch.no_grad():
        near, far = conv.distance(share * radius), conv.distance(torch.tensor([conv.far]))
    slope = torch.tensor([8.0, 4.0, 2.0, 1.0])
    assert torch.allclose(near, -share[:, None] * slope, atol=error)
    assert torch.allclose(far, -slope[None] - 1, atol=1e-5)


def test_near_cells_get_most_of_the_attention():
    """With equal queries and keys, the first head's mean over cells is that of the nearest."""
    encoder = make_encoder(heads=1)
    start_local(encoder, 8.0)
    conv = encoder.blocks[0].conv
    assert conv.distance(torch.tensor([1.0]))[0, 0] > conv.distance(torch.tensor([7.0]))[0, 0] + 0.5


def test_other_operators_stay_as_they_are():
    encoder = make_encoder(conv="GATv2Conv")
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    start_local(encoder, 8.0)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("radius", [0.0, float("inf")])
def test_bad_radius(radius):
    with pytest.raises(ValueError, match="'radius' must be positive and finite"):
        start_local(make_encoder(), radius)
