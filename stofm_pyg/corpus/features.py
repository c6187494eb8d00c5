import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from stofm_pyg._scatter import scatter_mean
from stofm_pyg.corpus.shard import Shard, open_safetensors
from stofm_pyg.corpus.shard_file import save_tensors

FORMAT, VERSION = "stofm_pyg.corpus.features", 1


def features_path(shard: Shard, directory: str | os.PathLike) -> Path:
    r"""Where the features of a shard lie."""
    return Path(directory).expanduser() / f"{shard.key}.safetensors"


def write_features(
    shard: Shard, x: Tensor, directory: str | os.PathLike, center: bool = False
):
    r"""Keeps features of the cells of a shard, *e.g.*, their embeddings, and of its virtual cells, the
    means of their clusters.

    Args:
        shard (Shard): The slice.
        x (torch.Tensor): The features :math:`(N, C)`, in the order of the shard's cells.
        directory (str or PathLike): The folder that keeps them.
        center (bool, optional): Subtract the mean cell. (default: :obj:`False`)

    Raises:
        ValueError: There is not one row for each cell, or a value is not finite.
    """
    if x.dim() != 2 or x.size(0) != shard.num_cells:
        raise ValueError(
            f"Features of '{shard.name}' have shape {list(x.shape)}, expected [{shard.num_cells}, C]: a "
            f"row for each cell"
        )
    x = x.detach().to("cpu", torch.float32).contiguous()
    finite = x.isfinite().all(dim=1)
    if not bool(finite.all()):
        raise ValueError(
            f"Features of {int((~finite).sum())} cells of '{shard.name}' are not finite, the first in "
            f"row {int((~finite).nonzero()[0])}; compute them again"
        )
    path = features_path(shard, directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    if center:
        x = x - x.mean(dim=0)
    virtual = scatter_mean(x, shard.cluster, shard.num_virtual)
    save_tensors(path, {"x": x, "virtual_x": virtual}, FORMAT, VERSION, shard.key)


def has_features(shard: Shard, directory: str | os.PathLike) -> bool:
    r"""Whether whole features of a shard are kept in a folder."""
    try:
        file = open_features(shard, directory)
        shapes = [file.get_slice(name).get_shape() for name in ("x", "virtual_x")]
    except (FileNotFoundError, ValueError, SafetensorError):
        return False
    return [shape[0] for shape in shapes] == [shard.num_cells, shard.num_virtual]


def open_features(shard: Shard, directory: str | os.PathLike):
    r"""Opens the features of a shard.

    Raises:
        FileNotFoundError: They are not there.
        ValueError: They are truncated, damaged, or of something else.
    """
    return open_safetensors(features_path(shard, directory), FORMAT, VERSION, shard.key)
