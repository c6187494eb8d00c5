from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    r"""Calls a function for each item, as many at a time as PyTorch uses threads, each on one thread,
    and yields the results in the order of the items.

    For many small batches this is faster than to share each operation among all threads, which then
    wait for one another after each.

    Gradient mode and autocast are those of new threads: the function has to set them.
    """
    num_threads = torch.get_num_threads()
    if num_threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)  # It is kept per thread, but also for new ones.
