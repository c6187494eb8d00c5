import os
from collections.abc import Sequence
from pathlib import Path


def file_paths(files: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Path]:
    r"""Returns the absolute paths of one or more files.

    Args:
        files (str or PathLike or sequence of these): The files; they need not be there.

    Raises:
        ValueError: There is none, or one is named twice.
    """
    if isinstance(files, (str, os.PathLike)):
        files = [files]
    paths = [Path(file).expanduser().resolve() for file in files]
    if not paths:
        raise ValueError("'files' is empty. Name at least one h5ad file.")
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise ValueError(f"'{path}' is in 'files' twice. Name each file once.")
    return paths
