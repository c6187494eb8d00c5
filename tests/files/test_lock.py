"""Two processes at one folder: one is told of the other; a lock that was left is none."""

import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

from stofm_pyg._files import locked


def child(function):
    """Runs a function in a process; returns its number and where it says what it has."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            function(writer)
        finally:
            os._exit(0)
    os.close(writer)
    return pid, reader


def hold(folder, shared=False):
    def function(writer):
        with locked(folder, shared):
            os.write(writer, b"held")
            signal.pause()

    pid, reader = child(function)
    assert os.read(reader, 100) == b"held"
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_other_process_is_named(tmp_path):
    pid = hold(tmp_path / "run")
    try:
        with pytest.raises(OSError, match=f"is in use: process {pid} on '.*' writes there; wait"):
            with locked(tmp_path / "run"):
                pass
        with locked(tmp_path / "other"):
            pass
    finally:
        end(pid)


def test_waiting_for_another_process(tmp_path, caplog):
    pid = hold(tmp_path)
    ended = threading.Timer(0.3, end, [pid])
    ended.start()
    try:
        with caplog.at_level(logging.INFO), locked(tmp_path, wait=True):
            assert ended.finished.is_set()
            assert (tmp_path / ".lock").read_text().split()[0] == str(os.getpid())
    finally:
        ended.join()
    (record,) = caplog.records
    assert record.message.startswith(f"Waiting: '{tmp_path}' is in use: process {pid} on '")


def test_a_lock_of_a_process_that_was_killed(tmp_path):
    end(hold(tmp_path))
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().split()[0] == str(os.getpid())
    assert os.listdir(tmp_path) == []


def test_a_process_that_has_forked_keeps_its_lock(tmp_path):
    with locked(tmp_path):
        ended = subprocess.run([sys.executable, "-S", "-c", "pass"])
        assert ended.returncode == 0

        def try_it(writer):
            try:
                with locked(tmp_path):
                    os.write(writer, b"taken twice")
            except OSError as error:
                os.write(writer, str(error).encode())

        pid, reader = child(try_it)
        assert f"process {os.getpid()} on" in os.read(reader, 1000).decode()
        os.waitpid(pid, 0)


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_threads_of_one_process(tmp_path):
    said = []

    def try_it():
        try:
            with locked(tmp_path):
                said.append("taken twice")
        except OSError as error:
            said.append(str(error))

    with locked(tmp_path):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} on" in said[0]


def test_those_that_share_a_folder(tmp_path):
    first, second = hold(tmp_path, shared=True), hold(tmp_path, shared=True)
    try:
        with pytest.raises(OSError, match="is in use: another process writes there"):
            with locked(tmp_path):
                pass
        with locked(tmp_path, shared=True):
            pass
    finally:
        end(first)
        end(second)
    with locked(tmp_path, shared=True):
        pass
    assert os.listdir(tmp_path) == []
