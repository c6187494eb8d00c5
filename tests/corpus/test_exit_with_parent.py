import multiprocessing
import os
import signal
import threading
import time

from stofm_pyg.corpus.exit_with_parent import NAME, exit_with_parent


def child(pipe, watched):
    if watched:
        exit_with_parent()
        exit_with_parent()
    pipe.send((os.getpid(), sum(thread.name == NAME for thread in threading.enumerate())))
    time.sleep(30)


def parent(pipe):
    context = multiprocessing.get_context("fork")
    context.Process(target=child, args=(pipe, True)).start()
    time.sleep(30)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_ends_with_its_parent():
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    middle = context.Process(target=parent, args=(there,))
    middle.start()
    pid, threads = here.recv()
    assert threads == 1 and is_running(pid)
    os.kill(middle.pid, signal.SIGKILL)
    middle.join()
    for _ in range(200):
        if not is_running(pid):
            break
        time.sleep(0.05)
    assert not is_running(pid)


def test_nothing_happens_in_a_process_of_its_own():
    exit_with_parent()
    assert all(thread.name != NAME for thread in threading.enumerate())
