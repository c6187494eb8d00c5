import os
import signal

from stofm_pyg.corpus.run_jobs import run_jobs


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
