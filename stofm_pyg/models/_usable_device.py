import torch


def usable_device(name: torch.device | str) -> torch.device:
    r"""Returns a device by its name.

    Raises:
        ValueError: There is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"'device' {name} cannot be used here ({reason}); use 'cpu'") from error
    return device
