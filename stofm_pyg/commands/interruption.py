import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from stofm_pyg.train import EXIT_TERMINATED, Termination

#: The exit status after Ctrl-C: 128 + SIGINT.
EXIT_INTERRUPTED = 130


class Terminated(BaseException):
    r"""The process was told to end, where nothing is to be saved first."""


class Stop:
    r"""A context in which a run that keeps checkpoints is let to save its state when it is told to end
    (SIGTERM) or Ctrl-C is pressed; the second Ctrl-C does not wait. Called, it says whether that has
    happened.
    """

    def __init__(self):
        self._pressed, self._told = Termination(interrupts=True), Termination()
        self._stack = ExitStack()

    def __enter__(self) -> "Stop":
        # The inner one takes SIGTERM, so that the outer one sees Ctrl-C alone.
        self._stack.enter_context(self._pressed)
        self._stack.enter_context(self._told)
        return self

    def __exit__(self, *error):
        self._stack.close()

    def __call__(self) -> bool:
        return self._pressed() or self._told()

    @property
    def status(self) -> int:
        r"""The exit status; that of SIGTERM where another process of the run was told to end."""
        return EXIT_INTERRUPTED if self._pressed() and not self._told() else EXIT_TERMINATED


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
