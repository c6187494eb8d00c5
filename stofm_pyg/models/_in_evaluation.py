from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def in_evaluation(module: torch.nn.Module, device: torch.device | str | None = None) -> Iterator[None]:
    r"""A context in which a module is in evaluation mode, on a device; afterwards each of its parts is
    in the mode it was in, and where it was.

    Args:
        module (torch.nn.Module): The module.
        device (torch.device or str, optional): The device. (default: :obj:`None`)

    Raises:
        ValueError: There is no such device here.
    """
    modes = [(part, part.training) for part in module.modules()]
    home = next(module.parameters()).device
    try:
        if device is not None:
            module.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"'device' {device} cannot be used here ({reason}); use 'cpu'") from error
    module.eval()
    try:
        yield
    finally:
        if device is not None:
            module.to(home)
        for part, mode in modes:
            part.training = mode
