import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch_geometric.data import Data

from stofm_pyg._files import READ_ERRORS, load_torch, save_torch, write_atomically
from stofm_pyg.datasets._conversion_key import conversion_key

logger = logging.getLogger(__name__)


def slices_path(
    folder: str, prefix: str, files: Sequence[Path], settings: Mapping[str, Any]
) -> Path | None:
    r"""Where slices are kept: a name made of all that they depend on, see :meth:`conversion_key`.
    :obj:`None`, with a warning, where changes of a setting could not be noticed."""
    key = conversion_key(files, settings)
    if key is None:
        logger.warning(
            "Slices are not kept in '%s': 'pre_transform' or another setting is not one whose changes "
            "can be noticed; make it a torch_geometric.transforms.BaseTransform",
            folder,
        )
        return None
    return Path(folder) / f"{prefix}_{key}.pt"


def load_slices(path: Path) -> list[Data] | None:
    r"""Reads what :meth:`save_slices` wrote; :obj:`None` where there is nothing or it is damaged."""
    if not path.exists():
        return None
    try:
        return [Data.from_dict(mapping) for mapping in load_torch(path)]
    except READ_ERRORS as error:
        logger.warning("'%s' cannot be read and is made again: %s", path, error)
        return None


def save_slices(data_list: Sequence[Data], path: Path):
    r"""Writes slices as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    slices = [data.to_dict() for data in data_list]
    write_atomically(path, lambda part: save_torch(slices, part))
