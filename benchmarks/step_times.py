import time

import numpy as np


class StepTimes:
    r"""Passed to a training as its :obj:`stop`, which is asked in every step: it notes when, and never
    stops. What other processes take of a busy machine is no part of the times."""

    def __init__(self):
        self._times: list[tuple[float, float]] = []

    def __call__(self) -> bool:
        self._times.append((time.perf_counter(), time.process_time()))
        return False

    def info(self) -> dict[str, float]:
        r"""The number of :obj:`steps`; the median time of one in milliseconds, :obj:`ms_per_step`; and
        the :obj:`train_seconds` of all, the first one, before which there is more to do, counted as the
        mean of the others."""
        if len(self._times) < 2:
            return {"steps": len(self._times)}
        # A process that had a core to itself all the time has spent as much on it as the clock says;
        # several threads have spent more.
        spent = np.diff(np.array(self._times), axis=0).min(axis=1)
        return {
            "steps": len(self._times),
            "train_seconds": float(spent.mean()) * len(self._times),
            "ms_per_step": 1e3 * float(np.median(spent)),
        }
