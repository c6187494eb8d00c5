import functools
from collections.abc import Callable
from contextlib import ExitStack

import torch


def full_precision(backward: Callable) -> Callable:
    r"""Lets the backward pass of a :class:`torch.autograd.Function` compute in the precision of its
    gradients where it is called under autocast, whose operators in place would refuse mixed types."""

    @functools.wraps(backward)
    def wrapped(ctx, *grads):
        with ExitStack() as stack:
            for device in {grad.device.type for grad in grads if grad is not None}:
                stack.enter_context(torch.autocast(device, enabled=False))
            return backward(ctx, *grads)

    return wrapped
