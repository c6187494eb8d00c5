from contextlib import ExitStack

from stofm_pyg.commands.interruption import EXIT_INTERRUPTED, EXIT_TERMINATED
from stofm_pyg.train import Termination


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
