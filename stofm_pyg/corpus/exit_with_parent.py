import multiprocessing
import os
import threading

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
