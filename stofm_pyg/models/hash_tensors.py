import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def hash_tensors(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    r"""A hash (SHA-256) of tensors, of their names, types and shapes, and of settings that are JSON."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, x in tensors.items():
        digest.update(f"{name} {x.dtype} {list(x.shape)}".encode())
        digest.update(x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
