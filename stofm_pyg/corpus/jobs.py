import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

NAME = "stofm_pyg.exit_with_parent"


def exit_with_parent():
    r"""Lets a worker process end when its parent does. One of a pool would wait for work for ever if
    its parent was killed. Called again, it does nothing."""
    parent = multiprocessing.parent_process()
    if parent is None or any(thread.name == NAME for thread in threading.enumerate()):
        return

    def watch():
        parent.join()
        os._exit(1)  # The main thread may be deep in a computation.

    threading.Thread(target=watch, name=NAME, daemon=True).start()


Job = TypeVar("Job")


def run_jobs(
    function: Callable[[Job], str | None], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, str | None]]:
    r"""Calls a function for each job, in several processes, and yields each job with what the function
    returned, as they end.

    A process that is killed (mostly since memory is short) takes down what its siblings were at. These
    jobs are done again one at a time, so that only the job at fault fails.

    Args:
        function (Callable): Returns the reason of a failure, or :obj:`None`. Can be pickled.
        jobs (sequence): Its arguments.
        workers (int): The number of processes; with one, jobs run in this process.
    """
    if workers == 1:
        for job in jobs:
            yield job, function(job)
        return
    waiting = list(jobs)
    while waiting:
        alone = workers == 1
        todo, waiting = waiting, []
        for job, reason, killed in _run_pool(function, todo, min(workers, len(todo))):
            if not killed:
                yield job, reason
            else:
                waiting.append(job)
        if waiting and alone:
            yield waiting.pop(0), "its process was killed, mostly a sign of too little memory"
        workers = 1


def _run_pool(function, jobs, workers):
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        futures = {pool.submit(function, job): number for number, job in enumerate(jobs)}
        killed = []
        for future in as_completed(futures):
            number = futures[future]
            try:
                reason = future.result()
            except BrokenProcessPool:
                killed.append(number)
                continue
            yield jobs[number], reason, False
        for number in sorted(killed):
            yield jobs[number], None, True
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
