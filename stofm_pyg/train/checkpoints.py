import logging
import os
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from stofm_pyg._files import write_atomically

logger = logging.getLogger(__name__)

READ_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    UnpicklingError,
    zipfile.BadZipFile,
)


class Checkpoints:
    r"""The checkpoints of a run, one file :obj:`step-N.pt` each, of which the newest are kept.

    A file is there as a whole or not at all, its checksums are verified when it is read, and nothing but
    tensors and plain values is taken from it.

    Args:
        folder (str or PathLike): Where they are; made when the first is saved.
        keep (int, optional): How many are kept. (default: :obj:`2`)
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 2):
        if keep < 1:
            raise ValueError(f"'keep' must be at least 1 (got {keep})")
        self.folder = Path(folder)
        self.keep = keep

    def save(self, step: int, state: dict[str, Any]):
        r"""Writes a checkpoint and removes those that are too old.

        Args:
            step (int): The number of steps done.
            state (dict): Tensors and plain values, nested as need be.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"step-{step:08d}.pt", lambda part: torch.save(state, part))
        for path in self.paths()[self.keep :]:
            path.unlink(missing_ok=True)

    def load_newest(self) -> dict[str, Any] | None:
        r"""Reads the newest checkpoint, or the one before if that is damaged; :obj:`None` if there is
        none.

        Raises:
            ValueError: All are damaged.
        """
        paths = self.paths()
        for path in paths:
            try:
                return _read(path)
            except READ_ERRORS as error:
                logger.warning(
                    "The checkpoint '%s' (%d bytes) is damaged and passed over: %s",
                    path,
                    path.stat().st_size,
                    str(error).splitlines()[0] if str(error) else type(error).__name__,
                )
        if paths:
            raise ValueError(
                f"All {len(paths)} checkpoints in '{self.folder}' are damaged; remove them and begin "
                f"anew"
            )
        return None

    def paths(self) -> list[Path]:
        r"""The files, newest first."""
        found = [path for path in self.folder.glob("step-*.pt") if re.fullmatch(r"step-\d+", path.stem)]
        return sorted(found, key=lambda path: int(path.stem[5:]), reverse=True)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.folder}', keep={self.keep})"


def _read(path: Path) -> dict[str, Any]:
    # torch.load takes a file whose bits have changed without a word.
    with zipfile.ZipFile(path) as file:
        wrong = file.testzip()
    if wrong is not None:
        raise ValueError(f"the checksum of '{wrong}' in it is wrong")
    return torch.load(path, map_location="cpu", weights_only=True)
