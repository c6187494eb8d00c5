import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: The exit statuses after Ctrl-C and after SIGTERM: 128 and the number of the signal.
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143


class Terminated(BaseException):
    r"""The process was told to end, where nothing is to be saved first."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    r"""A context in which SIGTERM raises :class:`Terminated`, so that half-written files are removed on
    the way out. Another thread than the main one gets no signals; there it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, frame):
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        # A handler that was not set from Python reads as None, and cannot be put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
