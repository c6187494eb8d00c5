import logging
import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data

from stofm_pyg._files import write_atomically

logger = logging.getLogger(__name__)


def load_slices(path: Path) -> list[Data] | None:
    r"""Reads what :meth:`save_slices` wrote; :obj:`None` where there is nothing or it is damaged."""
    if not path.exists():
        return None
    try:
        return [Data.from_dict(mapping) for mapping in torch.load(path, weights_only=True)]
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        logger.warning("'%s' cannot be read and is made again: %s", path, error)
        return None


def save_slices(data_list: Sequence[Data], path: Path):
    r"""Writes slices as a whole or not at all."""

    def write(temporary: Path):
        with open(temporary, "wb") as file:  # A full disk is an OSError then.
            torch.save([data.to_dict() for data in data_list], file)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, write)
