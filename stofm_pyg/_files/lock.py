import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stofm_pyg._files.left import clear_left

logger = logging.getLogger(__name__)

LOCK = ".lock"
SECONDS_BETWEEN_TRIES = 0.5
_held: dict[Path, int] = {}
_guard = threading.Lock()


class FolderInUse(OSError):
    r"""Another process writes to a folder."""


@contextmanager
def locked(directory: Path, shared: bool = False, wait: bool = False) -> Iterator[None]:
    r"""A context in which no other process writes to a folder, which is made if need be: two commands
    on one folder at once would write over each other. The system lets go of the lock of a process that
    was killed, whose file is then no more than a name.

    Args:
        directory (Path): The folder.
        shared (bool, optional): Whether others that share it may write there, too.
            (default: :obj:`False`)
        wait (bool, optional): Whether to wait for another process that is at it, of which a line in the
            log tells. (default: :obj:`False`)

    Raises:
        OSError: Nothing can be written to the folder, or another process is at it, for which one does
            not wait; the message has its number.
    """
    directory.mkdir(parents=True, exist_ok=True)
    clear_left(directory)
    path, told = directory.resolve() / LOCK, False
    while True:
        try:
            file = _take(path, directory, shared)
            break
        except FolderInUse as error:
            if not wait:
                raise
            if not told:
                logger.info("Waiting: %s", str(error).partition(";")[0])
            told = True
            time.sleep(SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        with _guard:
            _held.pop(path, None)
            if file is not None:
                _release(path, file, shared)


def _take(path: Path, directory: Path, shared: bool) -> int | None:
    with _guard:  # Locks are of a process, which cannot tell its own threads apart.
        if _held.get(path) == os.getpid():
            raise _taken(directory, os.getpid(), socket.gethostname())
        file = _acquire(path, directory, shared)
        _held[path] = os.getpid()
        return file


def _acquire(path: Path, directory: Path, shared: bool) -> int | None:
    try:
        import fcntl
    except ImportError:  # Of Unix alone.
        return None
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(file, kind | fcntl.LOCK_NB)
            # Whoever had it before may have removed the file meanwhile.
            if os.fstat(file).st_ino == path.stat().st_ino:
                if not shared:
                    os.ftruncate(file, 0)
                    os.pwrite(file, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            text = os.pread(file, 1000, 0).decode(errors="replace").split()
            os.close(file)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                pid, host = (text + ["", ""])[:2]
                raise _taken(directory, pid, host) from error
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                logger.debug("'%s' is on a file system without locks", directory)
                return None
            raise
        os.close(file)


def _release(path: Path, file: int, shared: bool):
    import fcntl

    try:
        if shared:  # The last one takes the file away.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        os.close(file)


def _taken(directory: Path, pid: int | str, host: str) -> FolderInUse:
    who = f"process {pid} on '{host}'" if pid else "another process"
    return FolderInUse(
        f"'{directory}' is in use: {who} writes there; wait until it has ended, or name another folder"
    )
