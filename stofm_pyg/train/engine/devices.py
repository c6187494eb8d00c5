import torch


def find_device(name: str | torch.device = "auto") -> torch.device:
    r"""The device of a name; :obj:`"auto"` is a CUDA GPU where there is one, else the CPU.

    Raises:
        ValueError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"The device '{name}' cannot be used here ({reason}); use 'auto' or 'cpu'"
        ) from error
    return device
