import math

import pytest
import torch

import stofm_pyg.nn.gaussian_distance
from stofm_pyg.nn import GaussianDistance
from stofm_pyg.nn.encode_distances import MIN_EXPONENT, EncodeDistances


@pytest.fixture(params=[None, 1, 2, 7], ids=["whole", "one", "two", "seven"])
def chunk(request, monkeypatch):
    """How many distances are encoded at a time."""
    if request.param is not None:
        monkeypatch.setattr(stofm_pyg.nn.gaussian_distance, "CHUNK", {"cpu": request.param})


def randomized(out_channels=3, num_gaussians=6, max_distance=4.0, seed=0):
    """An encoding with every parameter away from where it starts, standard deviations of both signs."""
    torch.manual_seed(seed)
    encode = GaussianDistance(out_channels, num_gaussians, max_distance).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encode.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator).double()
        encode.std[0] = -0.7
    return encode


def naive(encode, distance):
    """The formula of the docstring, number by number."""
    weight, bias = encode.weight.item(), encode.bias.item()
    phi = []
    for mean, std in zip(encode.mean.tolist(), encode.std.tolist(), strict=True):
        sigma = abs(std) + 1e-5
        exponent = -((weight * distance + bias - mean) ** 2) / (2 * sigma**2)
        exponent -= math.log(math.sqrt(2 * math.pi) * sigma)
        phi.append(math.exp(max(exponent, MIN_EXPONENT)))
    first, second = encode.mlp[0], encode.mlp[2]
    hidden = []
    for row, shift in zip(first.weight.tolist(), first.bias.tolist(), strict=True):
        hidden.append(max(0.0, shift + sum(w * p for w, p in zip(row, phi, strict=True))))
    return phi, [
        shift + sum(w * h for w, h in zip(row, hidden, strict=True))
        for row, shift in zip(second.weight.tolist(), second.bias.tolist(), strict=True)
    ]


def test_is_the_formula():
    encode = randomized()
    for distance in (0.0, 0.3, 1.7, 4.0, 9.0, 100.0):
        phi, expected = naive(encode, distance)
        value = torch.tensor([[distance]], dtype=torch.float64)
        assert encode.basis(value).view(-1).tolist() == pytest.approx(phi, rel=1e-10, abs=1e-300)
        assert encode(value).view(-1).tolist() == pytest.approx(expected, rel=1e-10)


def test_chunks_are_the_formula(chunk):
    encode = randomized()
    values = [0.0, 0.3, 1.7, 4.0, 9.0, 100.0, 2.2, 3.1, 0.3]
    out = encode(torch.tensor(values, dtype=torch.float64))
    for value, row in zip(values, out.tolist(), strict=True):
        assert row == pytest.approx(naive(encode, value)[1], rel=1e-10)


def test_in_chunks_only_where_there_are_many(monkeypatch):
    calls = []

    def note(*args):
        calls.append(args)
        return torch.zeros(args[0].size(0), 3)

    monkeypatch.setattr(EncodeDistances, "apply", note)
    monkeypatch.setattr(stofm_pyg.nn.gaussian_distance, "CHUNK", {"cpu": 5, "cuda": 1})
    encode = randomized()
    for number, expected in ((1, 0), (5, 0), (6, 1)):
        encode(torch.ones(number, 1, dtype=torch.float64))
        assert len(calls) == expected
    distance, size, *parameters = calls[0]
    assert distance.shape == (6, 1) and size == 5
    assert [p is q for p, q in zip(parameters, encode.parameters(), strict=True)] == [True] * 8


def test_single_precision_follows_double(chunk):
    encode = randomized(num_gaussians=32)
    distance = torch.linspace(0, 8, 50, dtype=torch.float64).unsqueeze(-1)
    expected = encode(distance)
    actual = encode.float()(distance.float())
    assert actual.dtype == torch.float32
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_starts_with_means_over_the_range():
    encode = GaussianDistance(2, num_gaussians=5, max_distance=8.0)
    assert encode.mean.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert encode.std.tolist() == [3.0] * 5
    assert encode.weight.tolist() == [1.0] and encode.bias.tolist() == [0.0]


def test_a_single_gaussian():
    encode = GaussianDistance(2, num_gaussians=1, max_distance=8.0)
    assert encode.mean.tolist() == [0.0] and encode.std.tolist() == [12.0]
    assert encode(torch.tensor([[1.0]])).isfinite().all()


@pytest.mark.parametrize("shape", [(4, 1), (4,), (2, 3), (2, 3, 1), (1, 1), (0, 1), (0,), ()])
def test_shapes(shape, chunk):
    encode = randomized().float()
    distance = torch.rand(shape)
    out = encode(distance)
    flat = encode(distance.reshape(-1, 1))
    assert out.shape == (*(shape[:-1] if shape[-1:] == (1,) else shape), 3)
    assert torch.allclose(out.reshape(-1, 3), flat, atol=1e-6)


def test_a_vector_of_one_distance_is_a_vector():
    encode = randomized().float()
    assert encode(torch.tensor([1.5])).shape == (1, 3)
    assert torch.allclose(encode(torch.tensor([1.5])), encode(torch.tensor([[1.5]])))


def test_a_far_distance_and_zero_have_finite_gradients(chunk):
    encode = GaussianDistance(2, num_gaussians=16, max_distance=4.0)
    distance = torch.tensor([[0.0], [100.0], [1e4]], requires_grad=True)
    out = encode(distance)
    out.sum().backward()
    assert out.isfinite().all() and distance.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in encode.parameters())


def test_gradients(chunk):
    encode = randomized(out_channels=2, num_gaussians=3)
    distance = torch.tensor([[0.0], [0.4], [2.5]], dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in encode.named_parameters()]

    def function(distance, *values):
        parameters = dict(zip(names, values, strict=True))
        return torch.func.functional_call(encode, parameters, (distance,))

    assert torch.autograd.gradcheck(function, (distance, *encode.parameters()))


def test_reset_parameters():
    encode = GaussianDistance(2, num_gaussians=4)
    before = {name: value.clone() for name, value in encode.state_dict().items()}
    with torch.no_grad():
        for parameter in encode.parameters():
            parameter.fill_(7.0)
    encode.reset_parameters()
    after = encode.state_dict()
    for name in ("weight", "bias", "mean", "std"):
        assert torch.equal(after[name], before[name])
    for name in ("mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"):
        assert not torch.equal(after[name], before[name]) and after[name].abs().max() < 1


def test_repr():
    assert repr(GaussianDistance(8)) == ("GaussianDistance(8, num_gaussians=128, max_distance=10.0)")
    assert repr(GaussianDistance(2, 16, 4.0)) == (
        "GaussianDistance(2, num_gaussians=16, max_distance=4.0)"
    )


def test_fit_to_a_function():
    encode = GaussianDistance(2, num_gaussians=24, max_distance=6.0)
    d = torch.linspace(0, 6, 100)
    target = torch.stack([d.sin(), -d], dim=1)
    encode.fit(d, target, torch.tensor([0.5, -7.0]))
    with torch.no_grad():
        inside = encode(d[10:-5])
    assert torch.allclose(inside, target[10:-5], atol=0.1)
    assert torch.allclose(encode(torch.tensor([100.0])), torch.tensor([[0.5, -7.0]]), atol=1e-6)
