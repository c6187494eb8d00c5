import hashlib
import json
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from anndata import AnnData
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stofm_pyg._files import write_together

CONFIG, TENSORS = "features.json", "features.safetensors"


class Features(torch.nn.Module):
    r"""What a model sees of a cell: from the counts (or an embedding) of the cells of one slice to
    :obj:`x`, the same for cells that it was fitted to and for others. It is a part of the model and
    saved with it.

    A new kind is a subclass with a :obj:`name`, :meth:`encode`, and what :meth:`config` and
    :meth:`tensors` have to keep.
    """

    #: The name of the kind.
    name: ClassVar[str]
    #: The key in :obj:`adata.obsm` that is read in the place of counts.
    obsm: str | None = None

    @property
    def num_features(self) -> int:
        r"""The number of features of a cell."""
        raise TypeError(f"{type(self).__name__} does not say how many features it makes")

    def encode(self, adata: AnnData) -> Tensor:
        r"""Returns the features of the cells of one slice :math:`(N, F)`, float32.

        Args:
            adata (AnnData): The slice, with counts as :obj:`X`, as
                :class:`~stofm_pyg.data.slices.reader.SliceReader` reads it.

        Raises:
            ValueError: The slice lacks what the features are made of.
        """
        raise TypeError(f"{type(self).__name__} makes no features of an AnnData")

    def config(self) -> dict[str, Any]:
        r"""Plain values that are saved."""
        return {}

    def tensors(self) -> dict[str, np.ndarray]:
        r"""Arrays that are saved."""
        return {}

    def fingerprint(self) -> str:
        r"""A hash of all that the features depend on, beside the cells."""
        digest = hashlib.sha256(json.dumps([self.name, self.config()], sort_keys=True).encode())
        for key, value in sorted(self.tensors().items()):
            digest.update(f"{key} {value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def save(self, directory: str | os.PathLike):
        r"""Writes the features to a folder, as a whole."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {key: torch.from_numpy(np.ascontiguousarray(v)) for key, v in self.tensors().items()}
        text = json.dumps({"name": self.name, **self.config()}, indent=1) + "\n"
        writes = {directory / CONFIG: lambda part: part.write_text(text, encoding="utf-8")}
        if tensors:
            writes = {directory / TENSORS: lambda part: save_file(tensors, part), **writes}
        write_together(writes)

    @classmethod
    def load(cls, directory: Path, config: dict[str, Any]) -> "Features":
        r"""Reads features of this kind.

        Args:
            directory (Path): The folder.
            config (dict): What :meth:`config` gave.
        """
        return cls(**config, **read_tensors(directory))


def read_tensors(directory: Path) -> dict[str, np.ndarray]:
    r"""Reads the arrays of saved features.

    Raises:
        FileNotFoundError: They are not there.
        ValueError: The file is damaged.
    """
    path = directory / TENSORS
    if not path.is_file():
        raise FileNotFoundError(f"'{directory}' has no '{TENSORS}'; copy the model again, as a whole")
    try:
        return {key: value.numpy() for key, value in load_file(path).items()}
    except SafetensorError as error:
        raise ValueError(f"'{path}' is damaged ({error}); copy or save the model again") from error
