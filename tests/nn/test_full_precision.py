import pytest
import torch

from stofm_pyg.nn._full_precision import full_precision


@full_precision
def backward(ctx, *grads):
    """Reports on autocast."""
    return ctx, torch.is_autocast_enabled("cpu"), grads


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("grads", [(torch.ones(1),), (None, torch.ones(1)), (torch.ones(1), None)])
def test_turns_autocast_off_inside_alone(enabled, grads):
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        ctx, inside, same = backward("context", *grads)
        assert torch.is_autocast_enabled("cpu") == enabled
    assert ctx == "context" and inside is False and same == grads


def test_without_any_gradient():
    assert backward("context", None, None) == ("context", False, (None, None))


def test_keeps_its_name():
    assert backward.__name__ == "backward" and backward.__doc__ == "Reports on autocast."
