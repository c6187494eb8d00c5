from collections.abc import Mapping

import torch


def most_bytes(limits: Mapping[str, int], device: torch.device, share: int) -> int:
    r"""What a limit in bytes is on a device: that of its kind, and on CUDA no more than a share of the
    GPU's memory.

    The memory that a GPU has, not what is free on it: blocks decide in which order sums are taken and
    what dropout draws, so a run that goes on must find those that it began with.

    Args:
        limits (Mapping): The limits by kind of device; that of the CPU holds for others.
        device (torch.device): The device.
        share (int): On CUDA, the limit is no more than one part of so many of the memory.
    """
    most = limits.get(device.type, limits["cpu"])
    if device.type != "cuda" or not torch.cuda.is_available():
        return most
    return min(most, torch.cuda.get_device_properties(device).total_memory // share)
