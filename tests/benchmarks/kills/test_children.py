import os
import signal
import sys
import time

import pytest

from benchmarks.kills.children import run


def test_a_function_that_ends(tmp_path):
    def function():
        print("words")
        print("others", file=sys.stderr)
        return 0

    assert run(function, tmp_path / "log")
    assert run(function, tmp_path / "log", 60.0)
    assert sorted((tmp_path / "log").read_text().split()) == ["others", "words"]


def test_a_function_that_is_killed_with_its_children(tmp_path):
    def function():
        if os.fork() == 0:
            time.sleep(0.5)
            (tmp_path / "child").write_text("went on")
        time.sleep(60)
        return 0

    assert not run(function, tmp_path / "log", 0.1)
    time.sleep(0.6)
    assert not (tmp_path / "child").exists()


def test_a_function_that_saves_when_it_is_told_to_end(tmp_path):
    def function():
        signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
        time.sleep(60)
        return 0

    assert not run(function, tmp_path / "log", 0.3, signal.SIGTERM)


@pytest.mark.parametrize("number", [3, 143, None])
def test_a_function_that_fails(number, tmp_path):
    def function():
        print("last words")
        if number is None:
            raise KeyError("odd")
        return number

    with pytest.raises(ValueError, match=f"exit code {number or 1}: last words"):
        run(function, tmp_path / "log")
