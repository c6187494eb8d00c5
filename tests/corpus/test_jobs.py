import multiprocessing
import os
import signal
import threading
import time

from stofm_pyg.corpus.jobs import NAME, exit_with_parent, run_jobs


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


def odd(number):
    return "odd" if number % 2 else None


def process(number):
    return str(os.getpid())


def test_in_this_process():
    assert list(run_jobs(odd, [1, 2], 1)) == [(1, "odd"), (2, None)]
    assert list(run_jobs(odd, [], 1)) == []
    assert list(run_jobs(process, [7], 1)) == [(7, str(os.getpid()))]


def test_a_killed_process_loses_its_own_job_alone():
    # Signal 0 does nothing.
    done = list(run_jobs(signal.raise_signal, [signal.SIGKILL, 0], 2))
    assert sorted(done, key=str) == [
        (0, None),
        (signal.SIGKILL, "its process was killed, mostly a sign of too little memory"),
    ]
