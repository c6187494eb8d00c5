import os
import signal
import threading

import pytest

from stofm_pyg.train import EXIT_TERMINATED, Termination


def test_notes_the_signal_and_puts_the_old_handler_back():
    before = []
    old = signal.signal(signal.SIGTERM, lambda *_: before.append(1))
    try:
        with Termination() as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop() and before == []
            assert repr(stop) == "Termination(signalled=True)"
        os.kill(os.getpid(), signal.SIGTERM)
        assert before == [1] and stop()
    finally:
        signal.signal(signal.SIGTERM, old)


def test_the_handler_is_put_back_after_an_error():
    old = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), Termination():
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is old


def test_other_threads():
    errors = []

    def enter():
        try:
            with Termination():
                pass
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert errors == ["Signals reach the main thread alone; enter 'Termination' there"]


def test_the_exit_code_is_that_of_a_shell():
    assert EXIT_TERMINATED == 128 + signal.SIGTERM
