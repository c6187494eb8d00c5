import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from stofm_pyg._seeds import Draws
from stofm_pyg.data.readers import source_files

# Raise it whenever the same file and settings give another slice than before.
VERSION = 3
SAMPLE_BYTES = 1 << 16


def conversion_key(files: Sequence[Path], settings: Mapping[str, Any]) -> str | None:
    r"""Returns a hash of everything that a conversion depends on, or :obj:`None` if one of the
    settings cannot be told from another of its kind (*e.g.*, a lambda).

    A file, and each of those that are read of a folder, counts by its path, size, time of change, and
    samples of its start, middle and end; the conversion by the version of its format.

    Args:
        files (sequence of Path): The files or folders that are converted.
        settings (dict): Numbers, strings, arrays, transforms, and lists and dicts of these.
    """
    try:
        described = _describe(settings)
    except TypeError:
        return None
    digest = hashlib.sha256(json.dumps([VERSION, described], sort_keys=True).encode())
    for path in (part for file in files for part in source_files(file)):
        stat = os.stat(path)
        digest.update(json.dumps([str(path), stat.st_size, stat.st_mtime_ns]).encode())
        with open(path, "rb") as file:
            for start in (0, stat.st_size // 2, max(stat.st_size - SAMPLE_BYTES, 0)):
                file.seek(start)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _describe(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {"dict": [[_describe(key), _describe(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_describe(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return ["array", str(value.dtype), list(value.shape), content]
    if isinstance(value, Draws) and value.seed is None:
        return "draws"
    if isinstance(value, BaseTransform):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        return [kind, _describe(vars(value))]
    raise TypeError(f"A {type(value).__name__} cannot be described")
