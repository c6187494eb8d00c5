import math

import pytest
import torch

from stofm_pyg.nn import GaussianDistance
from stofm_pyg.nn.encode_distances import MIN_EXPONENT, EncodeDistances, gaussian_basis
from tests.nn.attention_case import Memory, assert_near

CHUNKS = [1, 4, 7, 20, 100]


def randomized(num_gaussians=6, dtype=torch.float64, seed=0):
    """An encoding with every parameter away from where it starts, standard deviations of both signs."""
    torch.manual_seed(seed)
    encode = GaussianDistance(3, num_gaussians, max_distance=4.0).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encode.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        encode.std[0] = -0.7
    return encode.to(dtype)


def some_distances(number=20, dtype=torch.float64):
    distance = torch.linspace(0, 6, number, dtype=torch.float64)
    distance[-1] = 100.0
    return distance.to(dtype).view(-1, 1)


def plain(encode, distance):
    """The formula of :class:`GaussianDistance`, as it is written there."""
    sigma = encode.std.abs() + 1e-5
    offset = encode.weight * distance + encode.bias - encode.mean
    phi = (-(offset**2) / (2 * sigma**2)).exp() / (math.sqrt(2 * math.pi) * sigma)
    return encode.mlp[2](encode.mlp[0](phi).relu())


def gradients(out, encode, distance):
    loss = (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum()
    return torch.autograd.grad(loss, [distance, *encode.parameters()])


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=["32", "64"]
)
def test_is_the_formula(chunk, dtype, tolerance):
    encode, distance = randomized(dtype=dtype), some_distances(dtype=dtype).requires_grad_()
    out = EncodeDistances.apply(distance, chunk, *encode.parameters())
    expected = plain(encode, distance)
    assert_near(out.detach(), expected.detach(), tolerance)
    actual = gradients(out, encode, distance)
    expected = gradients(expected, encode, distance)
    for ours, theirs in zip(actual, expected, strict=True):
        assert theirs.abs().max() > 0
        assert_near(ours, theirs, tolerance)


@pytest.mark.parametrize("std", [0.1, 0.01, 1e-3, -1e-4, 0.0])
def test_a_sharp_basis_function(std):
    encode, distance = randomized(), some_distances().requires_grad_()
    with torch.no_grad():
        encode.std[2] = std
    results = []
    for out in (EncodeDistances.apply(distance, 7, *encode.parameters()), plain(encode, distance)):
        results.append((out.detach(), *gradients(out, encode, distance)))
    for ours, theirs in zip(*results, strict=True):
        assert_near(ours, theirs, 1e-11)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_finite_differences(chunk):
    encode = randomized(num_gaussians=3)
    distance = torch.tensor([[0.0], [0.4], [1.1], [2.5], [3.0]], dtype=torch.float64).requires_grad_()
    inputs = (distance, *encode.parameters())
    assert torch.autograd.gradcheck(lambda d, *p: EncodeDistances.apply(d, chunk, *p), inputs)


def test_some_inputs_without_a_gradient():
    encode, distance = randomized(), some_distances()
    for parameter in encode.parameters():
        parameter.requires_grad_(False)
    encode.mean.requires_grad_()
    out = EncodeDistances.apply(distance, 7, *encode.parameters())
    (actual,) = torch.autograd.grad(out.sum(), encode.mean)
    (expected,) = torch.autograd.grad(plain(encode, distance).sum(), encode.mean)
    assert_near(actual, expected, 1e-12)


def test_a_gradient_that_is_not_contiguous():
    encode, distance = randomized(), some_distances().requires_grad_()
    results = []
    for out in (EncodeDistances.apply(distance, 7, *encode.parameters()), plain(encode, distance)):
        results.append(torch.autograd.grad(out.t()[:2].sum(), [distance, *encode.parameters()]))
    for ours, theirs in zip(*results, strict=True):
        assert_near(ours, theirs, 1e-12)


def test_no_distances():
    encode, distance = randomized(), torch.empty(0, 1, dtype=torch.float64, requires_grad=True)
    out = EncodeDistances.apply(distance, 7, *encode.parameters())
    assert out.shape == (0, 3)
    assert all((grad == 0).all() for grad in torch.autograd.grad(out.sum(), [*encode.parameters()]))


def test_backward_twice():
    encode, distance = randomized(), some_distances().requires_grad_()
    out = EncodeDistances.apply(distance, 7, *encode.parameters())
    inputs = [distance, *encode.parameters()]
    first = torch.autograd.grad(out.sum(), inputs, retain_graph=True)
    for ours, theirs in zip(torch.autograd.grad(out.sum(), inputs), first, strict=True):
        assert torch.equal(ours, theirs)


def test_holds_a_chunk():
    encode, distance = randomized(num_gaussians=50, dtype=torch.float32), torch.rand(2000, 1)
    distance.requires_grad_()
    with Memory() as memory:
        out = EncodeDistances.apply(distance, 60, *encode.parameters())
        torch.autograd.grad(out.sum(), [distance, *encode.parameters()])
    # 60 distances of 50 basis functions, or the output of 2000 distances; the matrix would be 400,000.
    assert memory.largest == max(4 * 60 * 50, 4 * 2000 * 3)
    assert memory.peak < 4 * (2 * 2000 * 3 + 2000 + 7 * 60 * 50 + 3 * 50 * 50)


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_autocast(forward, backward):
    encode, distance = randomized(dtype=torch.float32), some_distances(dtype=torch.float32)
    distance.requires_grad_()
    expected = gradients(plain(encode, distance), encode, distance)
    with torch.autocast("cpu", torch.bfloat16, enabled=forward):
        out = EncodeDistances.apply(distance, 7, *encode.parameters())
    with torch.autocast("cpu", torch.bfloat16, enabled=backward):
        actual = gradients(out, encode, distance)
    assert out.dtype == torch.float32
    assert_near(out.detach(), plain(encode, distance).detach(), 2e-2 if forward else 1e-5)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == torch.float32
        assert_near(ours, theirs, 1e-5)


def test_basis():
    encode, distance = randomized().requires_grad_(False), some_distances()
    offset, phi = gaussian_basis(distance, encode.weight, encode.bias, encode.mean, encode.std)
    sigma = encode.std.abs() + 1e-5
    expected = (encode.weight * distance + encode.bias - encode.mean) / (math.sqrt(2) * sigma)
    assert_near(offset, expected, 1e-12)
    expected = torch.exp(-(expected**2)) / (math.sqrt(2 * math.pi) * sigma)
    assert_near(phi, expected, 1e-12)


def test_basis_functions_far_away_are_tiny_but_not_denormal():
    encode = randomized(dtype=torch.float32).requires_grad_(False)
    distance = torch.tensor([[1e3], [1e6]])
    _, phi = gaussian_basis(distance, encode.weight, encode.bias, encode.mean, encode.std)
    assert torch.equal(phi, torch.full_like(phi, MIN_EXPONENT).exp())
    assert torch.finfo(torch.float32).tiny < float(phi.max()) < 1e-17
