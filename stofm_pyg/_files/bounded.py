import gzip
import io
import os
from pathlib import Path
from typing import TextIO

GZIP = b"\x1f\x8b"
#: The most that a compressed table of genes may hold: the largest in use has a tenth of it.
LARGEST = 2**28


def unzip(path: Path, largest: int = LARGEST) -> bytes:
    r"""Reads a file, of gzip what it holds.

    Args:
        path (Path): The file.
        largest (int, optional): The most bytes it may hold. (default: :obj:`2**28`)

    Raises:
        ValueError: It holds more; no more of it is in memory.
    """
    with open(path, "rb") as file:
        if file.read(2) != GZIP:
            file.seek(0)
            return file.read()
    with gzip.open(path, "rb") as unzipped:
        return io.BufferedReader(_Bounded(unzipped, largest)).read()


def bounded_text(path: Path, largest: int = LARGEST) -> TextIO:
    r"""Opens a text, compressed if its name ends in :obj:`.gz`, of which reading more than some bytes
    is a :class:`ValueError`.

    Args:
        path (Path): The file.
        largest (int, optional): The most bytes. (default: :obj:`2**28`)
    """
    if path.suffix != ".gz":
        return open(path, encoding="utf-8")
    raw = _Bounded(gzip.open(path, "rb"), largest)
    return io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8")


class _Bounded(io.RawIOBase):
    def __init__(self, file: gzip.GzipFile, largest: int):
        self.file, self.largest = file, largest

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        if self.file.tell() > self.largest:
            raise ValueError(f"it holds more than {self.largest:,} bytes")
        return len(data)

    def close(self):
        self.file.close()
        super().close()
