import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import torch

#: What a damaged file makes :meth:`load_torch` stumble over.
READ_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    MemoryError,
    struct.error,
)


def save_torch(state: Any, path: Path):
    r"""Writes a file by :obj:`torch.save`, whose own error does not tell that a disk is full.

    Args:
        state (Any): Tensors and plain values, nested as need be.
        path (Path): The file.

    Raises:
        OSError: It cannot be written.
    """
    with open(path, "wb") as file:
        writer = _Writer(file)
        try:
            torch.save(state, writer)
        except RuntimeError as error:
            if writer.error is None:
                raise
            raise writer.error from error


def load_torch(path: Path) -> Any:
    r"""Reads what :meth:`save_torch` wrote: tensors and plain values, to the CPU, nothing else.

    Raises:
        READ_ERRORS: It is damaged, or holds something else.
    """
    check_archive(path, required=True)
    return torch.load(path, map_location="cpu", weights_only=True)


def check_archive(path: Path, required: bool = False):
    r"""Checks the checksums of a file that :obj:`torch.save` wrote; :obj:`torch.load` takes one whose
    bits have changed without a word.

    Args:
        path (Path): The file.
        required (bool, optional): Whether files of the form before PyTorch 1.6 are refused, which have
            no checksums. (default: :obj:`False`)

    Raises:
        ValueError: A checksum is wrong, or a part is compressed, which no part of such a file is, and
            may be of any size.
        BadZipFile: It is no archive, or truncated.
    """
    if not required and not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as file:
        for part in file.infolist():
            if part.compress_type != zipfile.ZIP_STORED or part.file_size > part.compress_size:
                raise ValueError(f"'{part.filename}' in it is compressed")
        wrong = file.testzip()
    if wrong is not None:
        raise ValueError(f"the checksum of '{wrong}' in it is wrong")


class _Writer:
    # A file that remembers why it could not be written, which is lost on the way through C++.
    def __init__(self, file: BinaryIO):
        self.file = file
        self.error: OSError | None = None

    def write(self, data) -> int:
        return self._tell(self.file.write, data)

    def flush(self):
        self._tell(self.file.flush)

    def _tell(self, function: Callable, *args):
        try:
            return function(*args)
        except OSError as error:
            self.error = self.error or error
            raise
