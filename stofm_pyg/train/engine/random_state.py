from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from stofm_pyg._seeds import mixed_seed


@contextmanager
def seeded(device: torch.device, numbers: list[int] | None) -> Iterator[None]:
    r"""Seeds torch's generators of the CPU and of a device from some numbers, and puts them back at the
    end; leaves them alone without numbers.

    Args:
        device (torch.device): The device.
        numbers (list[int], optional): The numbers, not negative.
    """
    if numbers is None:
        yield
        return
    seed = mixed_seed(numbers)
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            index = torch.cuda.current_device() if device.index is None else device.index
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def random_state(device: torch.device) -> dict[str, Any]:
    r"""Returns the state of torch's generators of the CPU and of a device.

    Args:
        device (torch.device): The device.
    """
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"rng": torch.get_rng_state(), "cuda_rng": cuda}


def set_random_state(state: dict[str, Any], device: torch.device):
    r"""Sets torch's generators to a state.

    Args:
        state (dict): With what :meth:`random_state` returned, perhaps on another device.
        device (torch.device): The device.
    """
    torch.set_rng_state(state["rng"])
    if device.type == "cuda" and state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], device)
