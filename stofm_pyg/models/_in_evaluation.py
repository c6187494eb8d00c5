from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stofm_pyg.models._usable_device import usable_device


@contextmanager
def in_evaluation(module: torch.nn.Module, device: torch.device | str | None = None) -> Iterator[None]:
    r"""A context in which a module is in evaluation mode, on a device; afterwards each of its parts is
    in the mode it was in, and where it was.

    Args:
        module (torch.nn.Module): The module.
        device (torch.device or str, optional): The device. (default: :obj:`None`)

    Raises:
        ValueError: There is no such device here, or the module is on none.
    """
    modes = [(part, part.training) for part in module.modules()]
    home = next(module.parameters()).device
    if home.type == "meta":
        raise ValueError(
            "The model is on the meta device and has no weights; read them by 'from_pretrained'"
        )
    if device is not None:
        module.to(usable_device(device))
    module.eval()
    try:
        yield
    finally:
        if device is not None:
            module.to(home)
        for part, mode in modes:
            part.training = mode
