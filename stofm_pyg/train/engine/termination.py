import signal
import threading
from typing import Any

#: The exit code of a run that was told to end and has saved what it did: 128 + SIGTERM.
EXIT_TERMINATED = 143


class Termination:
    r"""Notes that the process was told to end (SIGTERM, as a cluster sends it before it takes a machine
    away), so that a run can save its state first. Called, it says whether that has happened.

    Example:
        >>> with Termination() as stop:
        ...     trainer = Trainer(module, stop=stop)
        ...     trainer.fit(steps, num_steps)
        >>> if trainer.stopped:
        ...     checkpoints.save(trainer.step, trainer.state_dict())
        ...     sys.exit(EXIT_TERMINATED)

    Args:
        interrupts (bool, optional): Whether Ctrl-C means the same, once; the second raises
            :class:`KeyboardInterrupt`. (default: :obj:`False`)
    """

    def __init__(self, interrupts: bool = False):
        self.signalled = False
        self.signals = (signal.SIGTERM, signal.SIGINT) if interrupts else (signal.SIGTERM,)
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Termination":
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("Signals reach the main thread alone; enter 'Termination' there")
        self._handlers = {number: signal.signal(number, self._note) for number in self.signals}
        return self

    def __exit__(self, *error):
        # A handler that was not set from Python reads as None, and cannot be put back.
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __call__(self) -> bool:
        return self.signalled

    def _note(self, number: int, frame):
        if number == signal.SIGINT and self.signalled:
            raise KeyboardInterrupt  # Who asks twice does not want to wait.
        self.signalled = True

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(signalled={self.signalled})"
