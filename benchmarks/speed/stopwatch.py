import functools
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch

from benchmarks.speed.timing import synchronize


class Stopwatch:
    r"""How long code takes that is not changed for it: functions are wrapped by name while the context
    lasts. A second counts once, for the innermost wrapped function that it was spent in.

    Args:
        device (torch.device or str, optional): A device to wait for before and after each function.
            (default: :obj:`"cpu"`)

    Example:
        >>> with Stopwatch() as watch:
        ...     watch.wrap(Trainer, "fit", "training")
        ...     trainer.fit(steps, num_steps)
        >>> watch.seconds["training"]
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self.device = device
        #: By label, the seconds so far.
        self.seconds: dict[str, float] = defaultdict(float)
        #: By label, the calls so far.
        self.calls: dict[str, int] = defaultdict(int)
        self._wrapped: list[tuple[Any, str, bool, Any]] = []
        self._inner: list[float] = []

    def wrap(self, owner: Any, name: str, label: str):
        r"""Times a function of a class or a module from now on.

        Args:
            owner (Any): The class or module.
            name (str): The name of the function there.
            label (str): What its time counts as.
        """
        function = getattr(owner, name)

        @functools.wraps(function)
        def timed(*args, **kwargs):
            with self.timing(label):
                return function(*args, **kwargs)

        self.replace(owner, name, timed)

    def replace(self, owner: Any, name: str, function: Callable):
        r"""Puts a function in the place of another while the context lasts."""
        # An inherited function is looked up again afterwards, not copied into the class.
        own = name in vars(owner)
        self._wrapped.append((owner, name, own, vars(owner).get(name)))
        setattr(owner, name, function)

    @contextmanager
    def timing(self, label: str):
        r"""Times what is done inside."""
        synchronize(self.device)
        start = perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            synchronize(self.device)
            elapsed = perf_counter() - start
            self.seconds[label] += elapsed - self._inner.pop()
            self.calls[label] += 1
            if self._inner:
                self._inner[-1] += elapsed

    def __enter__(self) -> "Stopwatch":
        return self

    def __exit__(self, *error):
        while self._wrapped:
            owner, name, own, function = self._wrapped.pop()
            if own:
                setattr(owner, name, function)
            else:
                delattr(owner, name)
