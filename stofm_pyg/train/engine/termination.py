import signal
import threading

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
    """

    def __init__(self):
        self.signalled = False
        self._handler = None

    def __enter__(self) -> "Termination":
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("Signals reach the main thread alone; enter 'Termination' there")
        self._handler = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *error):
        # A handler that was not set from Python reads as None, and cannot be put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if self._handler is None else self._handler)

    def __call__(self) -> bool:
        return self.signalled

    def _note(self, number: int, frame):
        self.signalled = True

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(signalled={self.signalled})"
