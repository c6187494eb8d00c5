import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stofm_pyg._files.left import clear_left, part_in, part_of

# What a disk refuses by, whatever is written; and how libraries without Python's errors say so.
OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip
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
    temporary = {path: part_of(path) for path in writes}
    for folder in {path.parent for path in writes}:
        clear_left(folder)
    try:
        for path, write in writes.items():
            with naming(path):
                write(temporary[path])
        for path, part in temporary.items():
            with naming(path):
                os.replace(part, path)
    finally:
        for part in temporary.values():
            _remove(part)


@contextmanager
def saving(directory: Path) -> Iterator[Path]:
    r"""A context with an empty folder within a folder, which is gone at the end with what is left in it.

    Args:
        directory (Path): The folder; made if need be.

    Raises:
        OSError: A file cannot be written; the message names where it was to be.
    """
    if not directory.is_dir():
        check_writable(directory)
    clear_left(directory)
    part = part_in(directory)
    with naming(directory):
        directory.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    try:
        yield part
    except OSError as error:
        named = str(error.filename2 or error.filename or "")
        if error.errno is None or not named.startswith(f"{directory}{os.sep}"):
            raise
        named = named.replace(str(part), str(directory), 1)
        raise OSError(error.errno, error.strerror, named) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def saved_together(directory: Path, optional: Sequence[str] = ()) -> Iterator[Path]:
    r"""A context with an empty folder within a folder, of which the files take the place of those of the
    folder at the end, or never if there is an error.

    Args:
        directory (Path): The folder; made if need be.
        optional (sequence of str, optional): Files that are removed if they were not written.
            (default: :obj:`()`)

    Raises:
        OSError: A file cannot be written; the message names where it was to be.
    """
    with saving(directory) as part:
        yield part
        for path in sorted(path for path in part.rglob("*") if path.is_file()):
            to = directory / path.relative_to(part)
            to.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, to)
            optional = [name for name in optional if directory / name != to]
        for name in optional:
            (directory / name).unlink(missing_ok=True)


def check_writable(directory: str | os.PathLike):
    r"""Checks, before the work, that files can be written to a folder, or that it can be made. Leaves
    nothing.

    Raises:
        OSError: They cannot; the message names the place.
    """
    directory = Path(directory).expanduser()
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR, f"'{place}' is a file, in whose place a folder is needed", str(directory)
        )
    with naming(place), tempfile.TemporaryFile(dir=place):
        pass


@contextmanager
def naming(path: Path) -> Iterator[None]:
    r"""A context in which what a disk refuses by is an :class:`OSError` that names a file, whichever
    library writes and whatever it is called meanwhile."""
    try:
        yield
    except Exception as error:
        number = _number_of(error)
        if number not in OF_THE_DISK:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


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


def _remove(path: Path):
    try:
        path.unlink(missing_ok=True)
    except OSError:  # The first error is the one to tell of.
        pass
