import torch
from torch import Tensor


def check_precision(x: Tensor) -> Tensor:
    r"""Returns the features, or raises where their device does not compute in their precision."""
    if x.dtype == torch.float16 and x.device.type == "cpu":
        raise ValueError(
            "Features of type torch.float16 on a CPU, which has no arithmetic for it; use torch.float32 "
            "or torch.bfloat16 there, or move model and data to a GPU"
        )
    if x.dtype == torch.bfloat16 and x.is_cuda and not torch.cuda.is_bf16_supported():
        raise ValueError(
            f"Features of type torch.bfloat16 on {torch.cuda.get_device_name(x.device)}, which does not "
            f"compute in it; use torch.float16 or torch.float32"
        )
    return x
