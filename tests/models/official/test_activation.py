import pytest
import torch

from stofm_pyg.models.official._activation import make_activation


def test_names_of_torch():
    x = torch.linspace(-3, 3, 11)
    assert torch.equal(make_activation("gelu")(x), torch.nn.functional.gelu(x))
    assert torch.equal(make_activation("LeakyReLU")(x), torch.nn.functional.leaky_relu(x))


def test_names_of_transformers():
    x = torch.linspace(-3, 3, 11)
    expected = torch.nn.functional.gelu(x, approximate="tanh")
    assert torch.allclose(make_activation("gelu_new")(x), expected, atol=1e-6)
    assert torch.equal(make_activation("linear")(x), x)


def test_both_mean_the_same_by_a_name():
    from transformers.activations import ACT2FN

    x = torch.linspace(-6, 6, 101)
    for name in set(ACT2FN) - {"prelu", "xielu"}:
        assert torch.allclose(make_activation(name)(x), ACT2FN[name](x), atol=1e-6), name


def test_bad_names():
    with pytest.raises(ValueError, match="Unknown activation 'gelo'; known: .*'torch.nn'.*gelu_new"):
        make_activation("gelo")
    with pytest.raises(ValueError, match="'prelu' has weights of its own"):
        make_activation("prelu")
    with pytest.raises(ValueError, match="Unknown activation 'multihead_attention'"):
        make_activation("multihead_attention")
    with pytest.raises(TypeError, match=r"named by a string, such as 'gelu' \(got 3\)"):
        make_activation(3)
