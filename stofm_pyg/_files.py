import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

BYTES_PER_READ = 2**22
# What a disk refuses by, whatever is written; and how libraries without Python's errors say so.
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
NUMBER = re.compile(r"\(os error (\d+)\)|\berrno ?=? ?(\d+)", re.IGNORECASE)


def write_atomically(path: Path, write: Callable[[Path], object]):
    r"""Calls :obj:`write` with a temporary name beside :obj:`path` and renames the result, so that
    the file is there as a whole or not at all, also where several machines share the folder.

    Args:
        path (Path): The file.
        write (Callable): Writes a file of a given name.

    Raises:
        OSError: It cannot be written; a full disk is told so, whichever library writes.
    """
    write_together({path: write})


def write_together(writes: Mapping[Path, Callable[[Path], object]]):
    r"""Writes several files as :meth:`write_atomically` does one; all are written before the first takes
    the place of an old one.

    Args:
        writes (dict): What writes a file of a given name, by the file.

    Raises:
        OSError: One cannot be written; the old ones are as they were.
    """
    temporary = {path: path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp") for path in writes}
    try:
        for path, write in writes.items():
            try:
                write(temporary[path])
            except Exception as error:
                number = _number_of(error)
                if number not in OF_THE_DISK:
                    raise
                raise OSError(number, os.strerror(number), str(path)) from error
        for path, part in temporary.items():
            os.replace(part, path)
    finally:
        for part in temporary.values():
            part.unlink(missing_ok=True)


@contextmanager
def saved_together(directory: Path, optional: Sequence[str] = ()) -> Iterator[Path]:
    r"""A context with an empty folder within a folder, of which the files take the place of those of the
    folder at the end, or never if there is an error.

    Args:
        directory (Path): The folder; made if need be.
        optional (sequence of str, optional): Files that are removed if they were not written.
            (default: :obj:`()`)
    """
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / f".saving-{secrets.token_hex(4)}"
    part.mkdir()
    try:
        yield part
        for path in sorted(path for path in part.rglob("*") if path.is_file()):
            to = directory / path.relative_to(part)
            to.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, to)
            optional = [name for name in optional if directory / name != to]
        for name in optional:
            (directory / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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


def _number_of(error: BaseException | None) -> int | None:
    # Of an error, or of those that it came from.
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        found = NUMBER.search(str(error))
        if found is not None:
            return int(found[1] or found[2])
        error = error.__cause__ or error.__context__
    return None


def file_hash(path: Path) -> str:
    r"""Returns the SHA-256 of the content of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BYTES_PER_READ):
            digest.update(block)
    return digest.hexdigest()
