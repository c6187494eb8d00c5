import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from stofm_pyg.data.errors import NotInSource

# What libraries say of a file that ends too early or holds something else.
SIGNS = (OSError, EOFError, RuntimeError, KeyError, ValueError, IndexError, zlib.error)
SIGNS += (pd.errors.ParserError, pd.errors.EmptyDataError)


class DamagedFile(ValueError):
    r"""A file that is truncated, damaged, or not of the format that its name says."""


def unreadable(path: str | os.PathLike, error: object, kind: str = "h5ad file") -> DamagedFile:
    r"""Returns the error for a file that cannot be read, naming its path and size.

    Args:
        path (str or PathLike): The file, or the folder of a store.
        error (object): What was found.
        kind (str, optional): What it should have been. (default: :obj:`"h5ad file"`)
    """
    size = f" ({os.path.getsize(path):,} bytes)" if os.path.isfile(path) else ""
    return DamagedFile(
        f"'{path}'{size} cannot be read: it is truncated, damaged or no {kind} ({error}). Download or "
        f"copy it again and compare its size with the original."
    )


@contextmanager
def damage_named(path: Path, kind: str) -> Iterator[None]:
    r"""A context in which what a library says of a damaged file becomes :meth:`unreadable`: its own
    errors say neither which file it was nor what to do.

    Args:
        path (Path): The file.
        kind (str): What it should have been.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, BlockingIOError, DamagedFile, NotInSource):
        raise
    except SIGNS as error:
        raise unreadable(path, error, kind) from error
