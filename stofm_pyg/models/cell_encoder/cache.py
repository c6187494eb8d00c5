import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from stofm_pyg._files import write_atomically

logger = logging.getLogger(__name__)

FORMAT = "stofm_pyg.embedding.1"


class EmbeddingCache:
    r"""Keeps the embeddings of cells in a directory, one file for all that they depend on.

    Args:
        directory (str or Path): The directory; made if need be.
        key (str): A hash of all that the embeddings depend on.

    Raises:
        OSError: If the directory cannot be made.
    """

    def __init__(self, directory: str | Path, key: str):
        self.key = key
        self.path = Path(directory) / f"cells_{key[:32]}.safetensors"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def load_or_make(self, size: tuple[int, int], make: Callable[[], Tensor]) -> Tensor:
        r"""Returns what is kept, else what a function makes, which is then kept.

        Args:
            size (tuple): The shape of the embeddings :math:`(N, C)`.
            make (Callable): Makes them, float32 and on the CPU.
        """
        x = self.load(size)
        if x is None:
            x = make()
            self.save(x)
        return x

    def load(self, size: tuple[int, int]) -> Tensor | None:
        r"""Returns what is kept; :obj:`None` where there is nothing, or, with a warning, where it is
        truncated, damaged, or not of this size."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                metadata, names = file.metadata() or {}, set(file.keys())
                x = file.get_tensor("x").clone() if names == {"x"} else None
        except (SafetensorError, OSError) as error:
            return self._refuse(str(error))
        if metadata.get("format") != FORMAT or metadata.get("key") != self.key or x is None:
            return self._refuse("it holds something else")
        if tuple(x.shape) != size or x.dtype != torch.float32:
            return self._refuse(f"it holds {x.dtype} of shape {list(x.shape)}, not {list(size)}")
        if metadata.get("sha256") != _digest(x):
            return self._refuse("its content is not what was written")
        return x

    def save(self, x: Tensor):
        r"""Writes embeddings as a whole or not at all; warns where that fails."""
        metadata = {"format": FORMAT, "key": self.key, "sha256": _digest(x)}
        try:
            write_atomically(self.path, lambda part: save_file({"x": x}, part, metadata))
        except (SafetensorError, OSError) as error:
            logger.warning("The embeddings are not kept: '%s' cannot be written: %s", self.path, error)

    def _refuse(self, reason: str) -> None:
        logger.warning("'%s' cannot be used and is made again: %s", self.path, reason)


def hash_tensors(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    r"""A hash (SHA-256) of tensors, of their names, types and shapes, and of settings that are JSON."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, x in tensors.items():
        digest.update(f"{name} {x.dtype} {list(x.shape)}".encode())
        digest.update(x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _digest(x: Tensor) -> str:
    return hashlib.sha256(x.numpy()).hexdigest()
