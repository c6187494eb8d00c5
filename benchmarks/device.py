import torch


def find_device(name: str) -> torch.device:
    r"""The device of a name; :obj:`"auto"` is a CUDA GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name} cannot be used here ({error}); use auto or cpu") from error
    return device
